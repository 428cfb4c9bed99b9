"""The part of the stand-in for W&B's server that takes artifacts, with files among the uploads of their run."""

from typing import Any


class Artifacts:
    """Files of artifacts come to the `uploads` of their run, as `<artifact>/<file>`; `committed` names whole ones."""

    url: str

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.committed: list[str] = []

    def place(self, run: str, artifact: str, name: str) -> dict[str, Any]:
        return {"uploadUrl": f"{self.url}/uploads/{run}/{artifact}/{name}", "uploadHeaders": []}

    def on_artifacttype(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def on_createartifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        asked = variables["input"]
        made = {"id": f"{asked['runName']}/{asked['artifactCollectionName']}", "state": "PENDING"}
        return {"createArtifact": {"artifact": made | {"artifactSequence": {"latestArtifact": None}}}}

    def on_createartifactmanifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        run, artifact = variables["artifactID"].split("/")
        file = {"id": variables["name"], **self.place(run, artifact, variables["name"])}
        return {"createArtifactManifest": {"artifactManifest": {"id": variables["artifactID"], "file": file}}}

    def on_createartifactfiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            run, artifact = file["artifactID"].split("/")
            more = {"storagePath": None, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}
            nodes.append(self.place(run, artifact, file["name"]) | more)
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def on_commitartifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.committed.append(variables["artifactID"])
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}

"""Plain loops to compare with: the arithmetic of our training, written out without any of its mechanics.

Each is `loop(model, batches, draw)`: trains the model's networks on the batches, one step each. What is random comes
from `draw(sampler, *shape)`. The numbers are those of the models in `experiments.bench.training`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, relu, softplus
from torch.optim import Adam, Optimizer

from datamodules import Labelled, Paired, Unpaired
from lit_gans import GAN, CycleGAN, Pix2Pix
from lit_gans.base import AdversarialModule
from lit_gans.ema import update_ema
from lit_gans.pool import ImagePool

Draw = Callable[..., Tensor]


def fresh(sampler: Draw, *shape: int) -> Tensor:
    """New random numbers."""
    return sampler(*shape)


def adams(model: AdversarialModule, rate: float, betas: tuple[float, float], eps: float = 1e-8) -> list[Adam]:
    """The optimizers of the generator and of the discriminator."""
    return [Adam(network.parameters(), rate, betas, eps) for network in (model.generator, model.discriminator)]


@contextmanager
def step(optimizer: Optimizer, opponent: nn.Module) -> Iterator[None]:
    """A step along the gradient that the block leaves behind, while the opponent stands still."""
    opponent.requires_grad_(False)
    optimizer.zero_grad(set_to_none=True)
    yield
    optimizer.step()
    opponent.requires_grad_(True)


def average(model: GAN, images: int) -> None:
    """Moves the averaged generator, which forgets half of its past in 10,000 images."""
    update_ema(model.ema, model.generator, 0.5 ** (images / 10_000))


def dcgan(model: GAN, batches: Iterable[Labelled], draw: Draw = fresh) -> None:
    """DCGAN, and GAN: the discriminator's step, the generator's step."""
    generator, discriminator = model.generator, model.discriminator
    of_generator, of_discriminator = adams(model, 2e-4, (0.5, 0.999))
    for real, _label in batches:
        with step(of_discriminator, generator):
            fake = generator(draw(torch.randn, len(real), generator.latent_dim))
            (softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()).backward()
        with step(of_generator, discriminator):
            fake = generator(draw(torch.randn, len(real), generator.latent_dim))
            softplus(-discriminator(fake)).mean().backward()
        average(model, len(real))


def sngan(model: GAN, batches: Iterable[Labelled], draw: Draw = fresh) -> None:
    """SNGAN: on each fifth batch the generator first, on two fakes for each real; then the discriminator."""
    generator, discriminator = model.generator, model.discriminator
    of_generator, of_discriminator = adams(model, 2e-4, (0.0, 0.9))
    for turn, (real, _label) in enumerate(batches):
        if turn % 5 == 0:
            with step(of_generator, discriminator):
                fake = generator(draw(torch.randn, 2 * len(real), generator.latent_dim))
                (-discriminator(fake).mean()).backward()
        with step(of_discriminator, generator):
            fake = generator(draw(torch.randn, len(real), generator.latent_dim))
            (relu(1 - discriminator(real)).mean() + relu(1 + discriminator(fake)).mean()).backward()
        average(model, len(real))


def biggan(model: GAN, batches: Iterable[Labelled], draw: Draw = fresh) -> None:
    """BigGAN: with labels, drawn for the fakes; the generator after each second step of the discriminator."""
    generator, discriminator = model.generator, model.discriminator
    of_generator, of_discriminator = adams(model, 2e-4, (0.0, 0.999), 1e-6)

    def fakes(count: int) -> tuple[Tensor, Tensor]:
        latent = draw(torch.randn, count, generator.latent_dim)
        label = (10 * draw(torch.rand, count)).long()
        return generator(latent, label), label

    for turn, (real, label) in enumerate(batches):
        with step(of_discriminator, generator):
            real_logits, fake_logits = discriminator(real, label), discriminator(*fakes(len(real)))
            (relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()).backward()
        if turn % 2 == 1:
            with step(of_generator, discriminator):
                (1e-4 * unorthogonality(generator) - discriminator(*fakes(len(real))).mean()).backward()
        average(model, len(real))


def unorthogonality(generator: nn.Module) -> Tensor:
    """Sum of |W W^T * (1 - I)|^2 over the weights that are spectrally normalised, as they are before that."""
    weights = [weight.flatten(1) for name, weight in generator.named_parameters() if name.endswith("weight.original")]
    return sum((weight @ weight.T).fill_diagonal_(0).square().sum() for weight in weights)


def r3gan(model: GAN, batches: Iterable[Labelled], draw: Draw = fresh) -> None:
    """R3GAN: one pass of the discriminator over reals and one over fakes, for the loss, R1 and R2."""
    generator, discriminator = model.generator, model.discriminator
    of_generator, of_discriminator = adams(model, 2e-4, (0.0, 0.9))
    for real, _label in batches:
        with step(of_discriminator, generator):
            judged = real.detach().requires_grad_(True)
            fake = generator(draw(torch.randn, len(real), generator.latent_dim)).requires_grad_(True)
            real_logits, fake_logits = discriminator(judged), discriminator(fake)
            (by_real,) = torch.autograd.grad(real_logits.sum(), judged, create_graph=True)
            (by_fake,) = torch.autograd.grad(fake_logits.sum(), fake, create_graph=True)
            r1, r2 = (gradient.square().sum((1, 2, 3)).mean() for gradient in (by_real, by_fake))
            (softplus(fake_logits - real_logits).mean() + 0.05 / 2 * (r1 + r2)).backward()
        with step(of_generator, discriminator):
            fake = generator(draw(torch.randn, len(real), generator.latent_dim))
            softplus(discriminator(real) - discriminator(fake)).mean().backward()
        average(model, len(real))


def pix2pix(model: Pix2Pix, batches: Iterable[Paired], draw: Draw = fresh) -> None:
    """Pix2Pix: both players see the same image made. Nothing is averaged; what is measured is the generator itself."""
    generator, discriminator = model.generator, model.discriminator
    of_generator, of_discriminator = adams(model, 2e-4, (0.5, 0.999))
    for source, target in batches:
        fake = generator(source)
        with step(of_discriminator, generator):
            real_logits = discriminator(torch.cat([source, target], 1))
            fake_logits = discriminator(torch.cat([source, fake.detach()], 1))
            ((judged(real_logits, 1.0) + judged(fake_logits, 0.0)) / 2).backward()
        with step(of_generator, discriminator):
            fake_logits = discriminator(torch.cat([source, fake], 1))
            (judged(fake_logits, 1.0) + 100 * l1_loss(fake, target)).backward()
    model.ema.load_state_dict(generator.state_dict())


def judged(logits: Tensor, code: float) -> Tensor:
    """Cross entropy with 1 for real, 0 for fake."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, code))


def cyclegan(model: CycleGAN, batches: Iterable[Unpaired], draw: Draw = fresh) -> None:
    """CycleGAN: both generators, then either discriminator on its set and on a pool; nothing is averaged."""
    from_b, from_a = model.generator["ba"], model.generator["ab"]
    of_a, of_b = model.discriminator["a"], model.discriminator["b"]
    of_generators, of_discriminators = adams(model, 2e-4, (0.5, 0.999))
    for a, b in batches:
        fake_a, fake_b = from_b(b), from_a(a)
        with step(of_generators, model.discriminator):
            adversarial = (of_a(fake_a) - 1).square().mean() + (of_b(fake_b) - 1).square().mean()
            cycle = l1_loss(from_b(fake_b), a) + l1_loss(from_a(fake_a), b)
            identity = l1_loss(from_b(a), a) + l1_loss(from_a(b), b)
            (adversarial + 10 * cycle + 5 * identity).backward()
        with step(of_discriminators, model.generator):
            for side, discriminator, real, fake in (("a", of_a, a, fake_a), ("b", of_b, b, fake_b)):
                earlier = pooled(model.pools[side], fake.detach(), draw)
                answers = (discriminator(real) - 1).square().mean(), discriminator(earlier).square().mean()
                (sum(answers) / 2).backward()
    model.ema.load_state_dict(model.generator.state_dict())


def pooled(pool: ImagePool, images: Tensor, draw: Draw) -> Tensor:
    """The images, or, once the pool is full, half of the time earlier ones, which they replace."""
    seen = []
    for image, exchange, place in zip(images, *draw(torch.rand, 2, len(images)).tolist(), strict=True):
        if len(pool.kept) < pool.size:
            pool.kept.append(image)
        elif exchange > 0.5:
            index = int(place * pool.size)
            image, pool.kept[index] = pool.kept[index], image
        seen.append(image)
    return torch.stack(seen)

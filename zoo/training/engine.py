"""Devices, precision and processes: Lightning Fabric, out of the way where one device at full precision needs none."""

import logging
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.training.penalties import Penalties
from zoo.training.recipe import Recipe

_NOTHING = nullcontext()


class Engine:
    """Where and how the arithmetic of a run happens.

    With one process at full precision, modules and optimizers are used bare: the step costs what a plain PyTorch
    loop costs. Otherwise Fabric wraps them for autocast, gradient scaling, DDP or FSDP.

    launch: start the other processes of a run on several devices. `torchrun` and multi-node launchers start them
            themselves, which Fabric notices.
    """

    def __init__(self, recipe: Recipe, *, launch: bool = True) -> None:
        from lightning_fabric import Fabric

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it sets itself to INFO when imported
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have.*GPU.*|.*available but not used.*")
            self.fabric: Fabric = Fabric(
                accelerator=recipe.accelerator,
                devices=recipe.devices,
                num_nodes=recipe.num_nodes,
                strategy=_strategy(recipe),
                **_precision(recipe),
            )
        if launch:
            self.fabric.launch()
            started = int(os.environ.get("WORLD_SIZE", "1"))
            if started != self.fabric.world_size:
                raise ValueError(
                    f"{started} processes were started, but devices is {recipe.devices} on {recipe.num_nodes} nodes: "
                    f"each would train alone. Pass devices={started} (--devices {started})."
                )
        self.device: torch.device = self.fabric.device
        self.rank: int = self.fabric.global_rank
        self.world_size: int = self.fabric.world_size
        self.bare: bool = self.world_size == 1 and recipe.precision == "32-true" and recipe.parallel == "auto"
        self.shards: bool = recipe.parallel == "fsdp"
        self._on_cpu = self.device.type == "cpu"
        self._penalties = Penalties(l1=recipe.l1, l2=recipe.l2)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def scaler(self) -> Any:
        """The gradient scaler of float16 training, or None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    @property
    def mesh(self) -> Any:
        """The processes among which parameters are sharded."""
        return self.fabric.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]

    def setup_module(self, module: nn.Module) -> nn.Module:
        """The module on the run's device, wrapped where precision or several processes ask for it."""
        module = module.to(self.device)
        if self.bare or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        return self.fabric.setup_module(module)

    def setup_optimizer(self, optimizer: Optimizer) -> Optimizer:
        """The optimizer, wrapped as `setup_module` wraps modules."""
        return optimizer if self.bare else self.fabric.setup_optimizers(optimizer)  # type: ignore[return-value]

    def to_device(self, batch: Any) -> Any:
        """A batch, whatever its nesting, on the run's device."""
        return batch if self._on_cpu else self.fabric.to_device(batch)

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, modules that are not wrapped run in the run's precision too."""
        return _NOTHING if self.bare else self.fabric.autocast()  # type: ignore[return-value]

    def backward(self, loss: Tensor, *, create_graph: bool = False) -> None:
        """Adds the gradients of `loss`; with `create_graph` they can be differentiated again."""
        if self.bare:
            loss.backward(create_graph=create_graph)
        else:
            self.fabric.backward(loss, create_graph=create_graph)

    def synchronise_gradients(self, module: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
        """Inside, gradients are averaged over processes if enabled, and only collected if not."""
        if enabled or self.world_size == 1:
            return _NOTHING
        return self.fabric.no_backward_sync(module)  # type: ignore[arg-type]

    def step(self, module: nn.Module, optimizer: Optimizer, *, clip_norm: float | None) -> None:
        """One optimizer step on the collected gradients, which are cleared."""
        if self._penalties:
            self.add_penalties(optimizer)
        if not self.bare:
            if clip_norm is not None:
                self.fabric.clip_gradients(module, optimizer, max_norm=clip_norm, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return
        # The optimizer's own lists: walking through the modules of a small network takes a twentieth of its step.
        own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if clip_norm is not None:
            self._clip([parameter for parameter in own if parameter.grad is not None], clip_norm)
        optimizer.step()
        for parameter in own:
            parameter.grad = None

    def add_penalties(self, optimizer: Optimizer) -> None:
        """Adds the gradients of the recipe's L1 and L2 penalties to those collected."""
        scale = None if self.scaler is None else self.scaler.scale(torch.ones((), device=self.device))
        self._penalties.add_gradients_(optimizer, scale=scale)

    def _clip(self, parameters: list[nn.Parameter], largest: float) -> None:
        """As `nn.utils.clip_grad_norm_`; on a CPU, where looking costs nothing, what is short is not multiplied by 1.

        That pass over the memory takes a small network a tenth of its step.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not (self._on_cpu and gradients):
            nn.utils.clip_grad_norm_(parameters, largest)
            return
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if not norm + 1e-6 <= largest:  # torch's own constant against division by 0; NaN is not short
            nn.utils.clip_grads_with_norm_(parameters, largest, norm)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes."""
        if self.world_size == 1:
            return value
        total = self.fabric.all_reduce(value, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def mean(self, *values: float | Tensor) -> tuple[float | Tensor, ...]:
        """Each of the numbers averaged over all processes; what is known on the host never waits for the device."""
        if self.world_size == 1:
            return values
        held = torch.stack([torch.zeros((), device=self.device) + value for value in values])
        return tuple((self.sum(held) / self.world_size).unbind())

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the leader's buffers, such as BatchNorm's statistics, of which each has its own."""
        if self.world_size > 1:
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process holds, by rank."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def broadcast(self, value: Any) -> Any:
        """What the leading process holds, in every process."""
        return value if self.world_size == 1 else self.fabric.broadcast(value)

    def barrier(self) -> None:
        """Waits until every process has come here."""
        if self.world_size > 1:
            self.fabric.barrier()

    def run_first_on_leader(self, action: Callable[[], Any]) -> Any:
        """Runs `action` in the leading process, then in the others: for what the first leaves in a cache."""
        if self.leads:
            result = action()
        self.barrier()
        return result if self.leads else action()


def _strategy(recipe: Recipe) -> Any:
    """Fabric's strategy for the recipe. Fabric 2.6 has its "fsdp" on GPUs only; torch's newer one also runs on CPUs."""
    if recipe.parallel != "fsdp":
        return recipe.parallel
    from lightning_fabric.strategies import ModelParallelStrategy

    # The trainer shards the model itself, once, before its stages.
    return ModelParallelStrategy(
        lambda module, mesh: module, data_parallel_size=recipe.devices * recipe.num_nodes, tensor_parallel_size=1
    )


def _precision(recipe: Recipe) -> dict[str, Any]:
    """Fabric's arguments for the recipe's precision.

    On CPUs Fabric 2.6 takes bfloat16 where float16 was asked for; torch has both, so its own plugin is named there.
    """
    on_cpu = recipe.accelerator == "cpu" or (
        recipe.accelerator == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
    if recipe.precision != "16-mixed" or not on_cpu:
        return {"precision": recipe.precision}
    from lightning_fabric.plugins.precision import MixedPrecision

    return {"plugins": MixedPrecision("16-mixed", device="cpu")}

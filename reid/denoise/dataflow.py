"""What runs when, and what reads a convolution's output: read off the graph of the forward pass."""

from collections import Counter
from dataclasses import dataclass, field

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass
class Dataflow:
    """Facts about a model's forward pass, by the names that its modules have from the root.

    Args:
        order: Layers as they first run.
        uncalled: Layers that the forward pass does not call, although something may read their weights.
        batch_norm: For a convolution, the BatchNorm that is the only reader of its output.
    """

    order: list[str] = field(default_factory=list)
    uncalled: set[str] = field(default_factory=set)
    batch_norm: dict[str, str] = field(default_factory=dict)


class LayerTracer(fx.Tracer):
    """Records layers as single nodes, subclasses of torch's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether ``m`` is one node of the graph."""
        return isinstance(m, nn.Linear | nn.Conv2d | _BatchNorm) or super().is_leaf_module(
            m, module_qualified_name
        )


def read_dataflow(model: nn.Module) -> Dataflow:
    """Trace the forward pass without running it; parts that cannot be traced are entered one by one.

    Where a part cannot be traced (its forward loops over its input, say), its children are traced each on
    its own, in order of registration, and nothing is assumed about what lies between them.
    """
    flow = Dataflow()
    _read(model, "", flow)
    return flow


def _read(module: nn.Module, name: str, flow: Dataflow) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        flow.order.append(name)
        return
    tracer = LayerTracer()
    try:
        graph = tracer.trace(module)
    except Exception:  # noqa: BLE001 - the user's forward, run on proxies, may fail in any way at all
        for child_name, child in module.named_children():
            _read(child, _join(name, child_name), flow)
        return
    _read_graph(graph, module, name, flow)


def _read_graph(graph: fx.Graph, module: nn.Module, name: str, flow: Dataflow) -> None:
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    layers = {key for key, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    # A module of torch's own is one node although it may hold layers; it is entered where it is called.
    entered = {key: [x for x in layers if x == key or x.startswith(f"{key}.")] for key in times}
    for key, inside in entered.items():
        if inside:
            _read(module.get_submodule(key), _join(name, key), flow)
    flow.uncalled |= {_join(name, key) for key in layers - {x for inside in entered.values() for x in inside}}
    for node in calls:
        readers = list(node.users)
        if len(readers) != 1 or readers[0].op != "call_module":
            continue
        reader = readers[0].target
        conv, norm = module.get_submodule(node.target), module.get_submodule(reader)
        once = times[node.target] == times[reader] == 1
        # A BatchNorm without running statistics has nothing to take a constant into.
        keeps_mean = isinstance(norm, _BatchNorm) and norm.running_mean is not None
        if isinstance(conv, nn.Conv2d) and keeps_mean and once:
            flow.batch_norm[_join(name, node.target)] = _join(name, reader)


def _join(prefix: str, name: str) -> str:
    return ".".join(part for part in (prefix, name) if part)

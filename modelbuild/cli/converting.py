"""One model, without a manifest; ``mo`` takes the same options as the Model Optimizer wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from modelbuild import __version__
from modelbuild.cli import optimizer
from modelbuild.cli.compressing import compression, compression_options
from modelbuild.errors import UsageError
from modelbuild.targets import Compression, Precision

if TYPE_CHECKING:
    from modelbuild.frontends.source import SourceModel

F = TypeVar("F", bound=Callable[..., Any])

_LEVELS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(["CRITICAL", "ERROR"], frozenset()),
    **dict.fromkeys(["WARN", "WARNING"], frozenset({"note"})),
    "INFO": frozenset({"note", "step"}),
    **dict.fromkeys(["DEBUG", "NOTSET"], frozenset({"note", "step", "rule"})),
}
"""What is told beside errors."""

_SHARED = (
    click.option("--input", "input_", metavar="NAME[SHAPE]{TYPE}->VALUE,…", help="All inputs, in order; cuts there."),
    click.option("--output", metavar="NAME,…", help="The outputs, in order; cuts there."),
    click.option("--input_shape", metavar="[1,3,?,1..8],…", help="The shapes of the inputs."),
    click.option("-b", "--batch", type=click.IntRange(1), help="How many examples the inputs take at once."),
    click.option("--static_shape", is_flag=True, help="No shape may stay open."),
    click.option("--freeze_placeholder_with_value", "frozen", metavar="NAME->VALUE,…", hidden=True),
    click.option("--mean_values", metavar="NAME(123.6,…),…", help="Subtracted from each channel of an input."),
    click.option("--scale_values", metavar="NAME(58.4,…),…", help="What each channel is divided by then."),
    click.option("-s", "--scale", type=float, help="What all inputs are divided by."),
    click.option("--reverse_input_channels", is_flag=True, help="Exchange red and blue, before all that."),
    click.option("--layout", metavar="NAME(nhwc->nchw),…", help="What the axes are, and what they are to be."),
    click.option("--source_layout", metavar="NAME(nhwc),…", help="What the axes are in MODEL."),
    click.option("--target_layout", metavar="NAME(nchw),…", help="What they are to be."),
    click.option(
        "--transform",
        metavar="NAME[…],…",
        help="LowLatency2[use_const_initializer=False], MakeStateful[param_res_names={'in':'out'}], Pruning.",
    ),
    click.option("--extensions", metavar="FILE.py,…", help="Files with operations, handlers and rules of your own."),
    click.option(
        "--compress_to_fp16",
        type=bool,
        is_flag=False,
        flag_value=True,
        help="Store weights in half precision, which is what is done unless this is False.",
    ),
    click.option("--silent", type=bool, is_flag=False, flag_value=True, help="Say nothing but errors."),
    click.option("--progress", is_flag=True, help="Say on stderr what is being done."),
    click.option(
        "--log_level",
        type=click.Choice(list(_LEVELS), case_sensitive=False),
        default="ERROR",
        help="What to say on stderr: WARNING: what a person should know; INFO: each step too; DEBUG: each rule too.",
    ),
    click.option("-n", "--model_name", help="What the files are called; otherwise as the model."),
    click.option(
        "-o",
        "--output_dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(),
        help="Where to write; otherwise here.",
    ),
)


def _shared_options(command: F) -> F:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command("convert")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--rename", metavar="NAME->NEW,…", help="Other names for inputs and outputs.")
@compression_options
@_shared_options
def convert_command(
    *,
    model: Path,
    precision: str | None,
    compress_to_fp16: bool | None,
    mode: str | None,
    group_size: str | None,
    ratio: float | None,
    all_layers: bool,
    keep: Sequence[str],
    **given: Any,
) -> None:
    """Convert the file MODEL to OpenVINO IR: MODEL_NAME.xml and MODEL_NAME.bin."""
    if precision is not None and compress_to_fp16 is not None:
        raise UsageError("--precision and --compress_to_fp16 say the same; give one of them")
    chosen = Precision(precision) if precision else _stored(compress_to_fp16)
    how = compression(chosen, mode=mode, group_size=group_size, ratio=ratio, all_layers=all_layers, keep=keep)
    _Conversion(model, given, chosen, how).run()


def _stored(compress_to_fp16: bool | None) -> Precision:
    return Precision.FP32 if compress_to_fp16 is False else Precision.FP16


class _Optimizer(click.Command):
    """Knows the options that it does not take."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        optimizer.refuse_replaced(args)
        return super().parse_args(ctx, args)


def _idle_options(command: F) -> F:
    """What is taken and changes nothing; whoever gives it is told so."""
    for name, why in optimizer.IDLE.items():

        def tell(_: click.Context, option: click.Parameter, value: object, why: str = why) -> None:
            if value:
                click.echo(f"note  --{option.name} changes nothing: {why}", err=True)

        is_flag = name != "finegrain_fusing"
        command = click.option(f"--{name}", is_flag=is_flag, expose_value=False, hidden=True, callback=tell)(command)
    return command


@click.command("mo", cls=_Optimizer)
@click.option("-m", "-w", "--input_model", "model", type=click.Path(path_type=Path), required=True, help="The model.")
@click.option("--explain", is_flag=True, help="Print the entry of a manifest that says the same; convert nothing.")
@click.option("--framework", type=click.Choice(["onnx"]), expose_value=False, hidden=True)
@click.version_option(__version__, prog_name="modelbuild")
@click.option("--data_type", type=click.Choice(["FP16", "FP32", "half", "float"], case_sensitive=False), hidden=True)
@click.option("--disable_weights_compression", is_flag=True, hidden=True)
@_idle_options
@_shared_options
def mo_command(
    *,
    model: Path,
    explain: bool,
    compress_to_fp16: bool | None,
    data_type: str | None,
    disable_weights_compression: bool,
    **given: Any,
) -> None:
    """Convert a model by a command line written for the Model Optimizer of OpenVINO 2023.3, or before."""
    full = disable_weights_compression or data_type in {"FP32", "float"}
    if compress_to_fp16 is not None and (data_type or disable_weights_compression):
        raise UsageError(
            "--compress_to_fp16 stands for --data_type and --disable_weights_compression; give one of them"
        )
    conversion = _Conversion(model, given, _stored(False if full else compress_to_fp16), Compression())
    if explain:
        click.echo(conversion.explanation(), nl=False)
    else:
        conversion.run()


@dataclass(slots=True)
class _Conversion:
    """What is asked for. The model itself is read only where something is said of its inputs without their names."""

    model: Path
    given: dict[str, Any]
    precision: Precision
    compression: Compression
    _read: SourceModel | None = None

    @property
    def name(self) -> str:
        name: str | None = self.given["model_name"]
        if name is None:
            return self.model.stem
        if not name or Path(name).name != name:
            raise UsageError(f"--model_name {name!r} is no name of a file")
        return name

    def run(self) -> None:
        from modelbuild.convert import convert_model, save_model, untold

        path = self.given["output_dir"] / f"{self.name}.xml"
        hears = _LEVELS[self.given["log_level"]] or self.given["progress"]
        tell = self._tell if hears else untold
        graph = convert_model(self.model, **self.options(), tell=tell)
        written = save_model(graph, path, precision=self.precision, compression=self.compression, tell=tell)
        if not self.given["silent"]:
            click.echo(f"{path}  {written.xml_size} bytes")
            click.echo(f"{path.with_suffix('.bin')}  {written.bin_size} bytes")

    def _tell(self, what: str, text: str) -> None:
        if what in _LEVELS[self.given["log_level"]] or (what == "step" and self.given["progress"]):
            click.echo(f"{what:4}  {text}", err=True)

    def options(self) -> dict[str, Any]:
        """What ``convert_model`` is told."""
        given = self.given
        said = optimizer.inputs(given["input_"]) if given["input_"] else optimizer.Inputs()
        names = [self._tensor(name) for name in said.names]
        as_tensor = dict(zip(said.names, names, strict=True))

        def inputs() -> Sequence[str]:
            from modelbuild.frontends.inputs import given_inputs

            return names or list(given_inputs(self._source()))

        def by_name(option: str, read: Callable[[str, str], optimizer.Written]) -> dict[str, Any] | None:
            text = given[option]
            return read(text, f"--{option}").of(inputs, f"--{option}") if text else None

        shapes = said.shapes.of(inputs, "--input") | (by_name("input_shape", optimizer.shapes) or {})
        values = said.values | (optimizer.frozen(given["frozen"]) if given["frozen"] else {})
        return {
            "input": names or None,
            "output": [self._tensor(name) for name in optimizer.names(given["output"])] if given["output"] else None,
            "input_shape": {as_tensor.get(name, name): shape for name, shape in shapes.items()} or None,
            "input_type": {as_tensor[name]: _TYPES.get(kind, kind) for name, kind in said.types.items()} or None,
            "freeze": {as_tensor.get(name, name): value for name, value in values.items()} or None,
            "batch": given["batch"],
            "static_shape": given["static_shape"],
            "mean_values": by_name("mean_values", optimizer.numbers),
            "scale_values": by_name("scale_values", optimizer.numbers),
            "scale": given["scale"],
            "reverse_input_channels": given["reverse_input_channels"],
            "layout": by_name("layout", optimizer.layouts),
            "source_layout": by_name("source_layout", optimizer.layouts),
            "target_layout": by_name("target_layout", optimizer.layouts),
            "rename": optimizer.renamed(given["rename"]) if given.get("rename") else None,
            "extensions": optimizer.extensions(given["extensions"]) if given["extensions"] else (),
            "transform": optimizer.transform(given["transform"]) if given["transform"] else None,
        }

    def explanation(self) -> str:
        """The entry of a manifest, as text."""
        from modelbuild.cli.explaining import entry
        from modelbuild.options import specified

        options = self.options()
        specs = specified(self._source(), **{name: options[name] for name in options if name not in _OF_THE_MODEL})
        return entry(
            self.name,
            self.model.as_posix(),
            specs,
            order=options["input"] or (),
            outputs=options["output"] or (),
            batch=options["batch"],
            static_shape=options["static_shape"],
            transform=options["transform"],
            extensions=options["extensions"],
            precision=self.precision,
        )

    def _source(self) -> SourceModel:
        from modelbuild.frontends.load import read_source

        if self._read is None:
            self._read = read_source(self.model)
        return self._read

    def _tensor(self, name: str) -> str:
        """The tensor that mo's notation means: by its own name, that of its node, or a port of a node."""
        from modelbuild.frontends.inputs import tensor_named

        return tensor_named(self._source(), name)


_OF_THE_MODEL = {"batch", "extensions", "rename", "static_shape", "transform"}
_TYPES = {"float": "f32", "half": "f16", "bool": "boolean"}

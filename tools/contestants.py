"""One contestant of `make bench` in a process of its own: a library that turns pictures into vectors, as its
users would call it, or the machine's limit.

`bench.py` starts it as ``python contestants.py SPEC`` (JSON), reads one line that says whether it is ready,
and then sends one request per line on standard input; each is answered by one line on standard output. A
process of its own, since the allocator's settings, thread pools and environment variables of one library
would change the speed of the next, and since some libraries need a Python environment of their own: nothing
but the standard library is imported before a contestant is known.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which these weights were trained with
USUAL_BATCH, USUAL_WORKERS = (
    4,
    2,
)  # of the usual DataLoader: small batches flatter it, none waits for 32 files
Run = Callable[[], Any]
"""One piece of work, ready to be timed. Returns the vectors `(n, D)`, or a number of operations."""


class Missing(Exception):
    """What this machine lacks for a contestant or a task, as a clause for the page."""


# --- What all are given -------------------------------------------------------------------------------------


def gray_pictures(count: int) -> Any:
    """Return the same pictures to everybody, uint8 (count, 224, 224): noise, since no network cares."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


def network_input(count: int) -> Any:
    """Return `gray_pictures` as networks want them: float32 (count, 3, 224, 224), normalised."""
    import torch

    gray = torch.from_numpy(gray_pictures(count)).float().div(255).unsqueeze(1)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((gray - mean) / std).contiguous()


def usual_picture(path: str) -> Any:
    """Read a mammogram as tutorials do, float32 (224, 224) in [0, 1]: pydicom's transforms, scikit-image."""
    import numpy as np
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut
    from skimage.transform import resize

    ds = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    picture = resize(values.astype(np.float32), (SIDE, SIDE), anti_aliasing=True, preserve_range=True)
    return ((picture - picture.min()) / (picture.max() - picture.min())).astype(np.float32)


def check_readable(path: str) -> None:
    """Raise Missing if pydicom has no decoder of its own choice for a file."""
    import pydicom
    from pydicom.pixels import get_decoder

    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise Missing("a decoder that pydicom takes (python-gdcm)")


def as_tensor(picture: Any) -> Any:
    """A picture as a normalised tensor (3, 224, 224)."""
    import torch

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(picture).repeat(3, 1, 1) - mean) / std


def as_image(picture: Any) -> Any:
    """A picture as a PIL image, RGB, for libraries that want one."""
    import numpy as np
    from PIL import Image

    return Image.fromarray((picture * 255).round().astype(np.uint8)).convert("RGB")


@dataclass(frozen=True)
class Archive:
    """The usual Dataset: files, and what makes a picture into what the library takes."""

    paths: list[str]
    transform: Callable[[Any], Any]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.transform(usual_picture(self.paths[index]))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- What people use today ----------------------------------------------------------------------------------


class Usual:
    """A library with a DataLoader: `embed` takes a batch to vectors, `transform` a picture to an input.

    A subclass sets both, and overrides the rest where its library differs.
    """

    transform: Callable[[Any], Any] = staticmethod(as_tensor)
    collate: Callable[[list[Any]], Any] | None = None

    def __init__(self, spec: dict[str, Any]):
        self.weights, self.device = spec["weights"], spec["device"]

    def embed(self, batch: Any) -> Any:
        """One batch to vectors, a numpy array (n, D)."""
        raise NotImplementedError

    def network(self, batch: int) -> Run:
        """The network alone, its input ready where the network is."""
        x = network_input(batch).to(self.device)
        return lambda: self.embed(x)

    def loader(self, paths: list[str]) -> Any:
        """The usual DataLoader over the usual Dataset."""
        from torch.utils.data import DataLoader

        check_readable(paths[0])
        archive: Any = Archive(paths, self.transform)
        return DataLoader(archive, batch_size=USUAL_BATCH, num_workers=USUAL_WORKERS, collate_fn=self.collate)

    def files(self, paths: list[str]) -> Run:
        """Files to vectors."""
        import numpy as np

        loader = self.loader(paths)
        return lambda: np.concatenate([self.embed(batch) for batch in loader])


class Torchvision(Usual):
    """`nn.Sequential` of all layers but the last, as in most tutorials."""

    def __init__(self, spec: dict[str, Any]):
        import torch

        super().__init__(spec)
        self.model = self.build().to(self.device).eval()
        self.no_grad = torch.no_grad

    def full_network(self) -> Any:
        """torchvision's ResNet-50 with the benchmark's weights."""
        import torch
        from torchvision.models import resnet50

        network = resnet50(weights=None)
        network.load_state_dict(torch.load(self.weights, weights_only=True))
        return network

    def build(self) -> Any:
        """The network that gives features."""
        from torch import nn

        return nn.Sequential(*list(self.full_network().children())[:-1])

    def embed(self, batch: Any) -> Any:
        """One batch to vectors."""
        with self.no_grad():
            return self.features(self.model(batch.to(self.device))).flatten(1).cpu().numpy()

    def features(self, output: Any) -> Any:
        """The features in what the network returned."""
        return output


class TorchvisionFeatures(Torchvision):
    """torchvision's own feature extractor."""

    def build(self) -> Any:
        """The network, cut by `create_feature_extractor`."""
        from torchvision.models.feature_extraction import create_feature_extractor

        return create_feature_extractor(self.full_network().eval(), {"avgpool": "features"})

    def features(self, output: Any) -> Any:
        """The features in what the network returned."""
        return output["features"]


class Timm(Torchvision):
    """timm's ResNet-50 without a classifier."""

    def __init__(self, spec: dict[str, Any]):
        importlib.import_module("timm")  # before torch: without it there is nothing to wait for
        super().__init__(spec)

    def build(self) -> Any:
        """The network as timm makes it."""
        import timm
        import torch

        network = timm.create_model("resnet50", pretrained=False, num_classes=0)
        state = torch.load(self.weights, weights_only=True)
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
        return network


class Img2Vec(Usual):
    """img2vec_pytorch, which takes lists of PIL images and prepares them itself."""

    transform = staticmethod(as_image)
    collate = list

    def __init__(self, spec: dict[str, Any]):
        library: Any = importlib.import_module("img2vec_pytorch")
        import torch

        super().__init__(spec)
        # It always asks torchvision for ImageNet's weights: the benchmark's stand where those would be kept.
        torch.hub.set_dir(str(Path(spec["folder"]) / "hub"))
        self.model = library.Img2Vec(cuda=self.device == "cuda", model="resnet50", layer_output_size=2048)

    def embed(self, batch: Any) -> Any:
        """One list of images to vectors."""
        return self.model.get_vec(batch)

    def network(self, batch: int) -> Run:
        """The network and the library's own preparation, which cannot be separated."""
        images = [as_image(picture / 255) for picture in gray_pictures(batch)]
        return lambda: self.embed(images)


class ThingsVision(Usual):
    """thingsvision, with its own way of going through a DataLoader."""

    def __init__(self, spec: dict[str, Any]):
        super().__init__(spec)
        library: Any = importlib.import_module("thingsvision")
        self.extractor = library.get_extractor(
            "resnet50", source="torchvision", device=self.device, pretrained=False, model_path=self.weights
        )
        library_transform = self.extractor.get_transformations(resize_dim=SIDE, crop_dim=SIDE)
        self.transform = functools.partial(_image_through, library_transform)

    def network(self, batch: int) -> Run:
        """The network alone."""
        x = network_input(batch)

        def run() -> Any:
            with self.extractor.batch_extraction("avgpool", output_type="ndarray") as extractor:
                return extractor.extract_batch(x, flatten_acts=True)

        return run

    def files(self, paths: list[str]) -> Run:
        """Files to vectors by the library's `extract_features`."""
        loader = self.loader(paths)
        return lambda: self.extractor.extract_features(loader, module_name="avgpool", flatten_acts=True)


def _image_through(transform: Callable[[Any], Any], picture: Any) -> Any:
    return transform(as_image(picture))


# --- The course ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def refusals_are_missing(engine: str, precision: str) -> Iterator[None]:
    """Turn what an engine raises on a machine that it cannot work on into Missing."""
    from course_utils.embedding import EmbeddingError

    try:
        yield
    except EmbeddingError as error:
        raise Missing(str(error)) from None
    except RuntimeError:
        if engine != "openvino":
            raise
        # OpenVINO compiles only for what the processor can do; its message is about its own source.
        raise Missing(f"a processor for which OpenVINO compiles the network in {precision}") from None


class Course:
    """`EmbeddingExtractor`, as `course embed` uses it."""

    def __init__(self, spec: dict[str, Any]):
        from course_utils.embedding import EmbeddingExtractor, load_backbone
        from course_utils.embedding.device import keep_freed_memory
        from course_utils.imaging import Preprocessor

        keep_freed_memory()  # as an extraction from files does
        self.backbone = load_backbone("resnet50", weights=spec["weights"])
        self.preprocessor = Preprocessor
        make = functools.partial(EmbeddingExtractor, device=spec["device"], precision=spec["precision"])
        with refusals_are_missing(spec["engine"], spec["precision"]):
            self.extractor = make(self.backbone, engine=spec["engine"], deterministic=spec["deterministic"])
        self.make = make

    def network(self, batch: int) -> Run:
        """The network alone, its input ready where the network is."""
        from course_utils.embedding.device import determinism

        x = network_input(batch).to(self.extractor.device)

        def run() -> Any:
            with determinism(self.extractor.deterministic):
                return self.extractor.forward(x).cpu().numpy()

        return run

    def chosen(self, precision: Any, batch: int) -> Run:
        """1 if the engine `auto` is OpenVINO here, 0 if it is torch."""

        def run() -> float:
            extractor = self.make(self.backbone, engine="auto", precision=precision, batch_size=batch)
            return float(extractor.engine == "openvino")

        return run

    def pictures(self, batch: int) -> Run:
        """Inference as an extraction pays for it: from pictures of 512 × 512."""
        import numpy as np

        gray = np.pad(gray_pictures(batch), ((0, 0), (144, 144), (144, 144)))[:, np.newaxis] / np.float32(255)
        return lambda: self.extractor.embed(gray)

    def files(self, paths: list[str], **picture: Any) -> Run:
        """Files to vectors, with as many threads reading ahead as `course embed` takes, and no store.

        `picture` holds options of the preprocessor.
        """
        from course_utils.cli.arguments import WORKERS

        return lambda: self._extracted(self.extractor, paths, WORKERS, picture)

    def reading(self, paths: list[str], **picture: Any) -> Run:
        """All that an extraction does but the network, on all cores: a mean takes its place."""
        import dataclasses

        from torch import nn

        mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        backbone = dataclasses.replace(self.backbone, module=mean, embedding_dim=3, input_size=512)
        extractor = self.make(backbone, fuse=False)
        return lambda: self._extracted(extractor, paths, cores(), picture)

    def _extracted(self, extractor: Any, paths: list[str], workers: int, picture: dict[str, Any]) -> Any:
        preprocessor = self.preprocessor(**picture)
        extraction = extractor.extract(paths, preprocessor, workers=workers, progress=False)
        if len(extraction.failures):  # a file that is not read costs nothing
            raise RuntimeError(extraction.failures["reason"][0])
        return extraction.vectors

    def decode(self, paths: list[str]) -> Run:
        """Compressed pixels to an array, with the decoder that `read_mammogram` uses."""
        from pydicom.pixels import pixel_array

        from course_utils.imaging.decode import PLUGIN

        return lambda: [pixel_array(path, decoding_plugin=PLUGIN) for path in paths]


def int8_engine(module: Any, calibration: Any) -> Callable[[Any], Any]:
    """Return a network in int8 by OpenVINO: NNCF takes its ranges from the calibration, (n, 3, S, S).

    The course offers it nowhere: section f shows why.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # nothing leaves this machine
    nncf, openvino = importlib.import_module("nncf"), importlib.import_module("openvino")
    import torch

    model = openvino.convert_model(module, example_input=calibration[:1])
    model.reshape([-1, *calibration.shape[1:]])
    each = [picture.contiguous().numpy() for picture in calibration.split(1)]
    quantised = nncf.quantize(model, nncf.Dataset(each), subset_size=len(each))
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled_model = openvino.compile_model(quantised, "CPU", options)

    def run(images: Any) -> Any:
        (vectors,) = compiled_model([images.contiguous().numpy()]).values()
        return vectors

    return run


class Int8:
    """OpenVINO in int8, calibrated on a few of the pictures that it is timed with."""

    def __init__(self, spec: dict[str, Any]):
        from course_utils.embedding import load_backbone

        backbone = load_backbone("resnet50", weights=spec["weights"])
        self.engine = int8_engine(backbone.module, network_input(4))

    def network(self, batch: int) -> Run:
        """The network alone."""
        x = network_input(batch)
        return lambda: self.engine(x)


class Pretrained:
    """What each precision and engine does to vectors that mean something: pretrained weights, mammograms."""

    def __init__(self, spec: dict[str, Any]):
        import numpy as np

        from course_utils.embedding import load_backbone
        from course_utils.imaging import Preprocessor, read_mammogram

        self.backbone = load_backbone("auto")
        preprocess = Preprocessor()
        self.pictures = np.stack([preprocess(read_mammogram(path)) for path in spec["paths"]])
        self.about = {"backbone": self.backbone.name, "weights": self.backbone.weights.id}

    def vectors(self, **options: Any) -> Run:
        """Vectors of all pictures by an extractor with these options."""
        from course_utils.embedding import EmbeddingExtractor

        with refusals_are_missing(options.get("engine", "torch"), options.get("precision", "fp32")):
            extractor = EmbeddingExtractor(self.backbone, **options)
            if len(extractor.embed(self.pictures[:1])) != 1:  # as OpenVINO does if oneDNN may not use bf16
                raise RuntimeError("one picture gave no vector")
        return lambda: extractor.embed(self.pictures)

    def int8(self) -> Run:
        """Vectors of all pictures in int8, calibrated on these very pictures: it cannot do better."""
        import numpy as np
        import torch
        import torch.nn.functional as F

        from course_utils.embedding.adapters import replicate

        try:
            size, how = self.backbone.input_size, self.backbone.interpolation
            gray = F.interpolate(torch.from_numpy(self.pictures), (size, size), mode=how, antialias=True)
            images = replicate(gray, self.backbone.mean, self.backbone.std)
            engine = int8_engine(self.backbone.module, images)
        except ModuleNotFoundError as error:
            raise Missing(f"the package {error.name}") from None
        return lambda: np.concatenate([engine(batch) for batch in images.split(8)])


class PydicomDefault:
    """Decoding as pydicom does it when nobody chooses a plugin."""

    def __init__(self, spec: dict[str, Any]):
        importlib.import_module("pydicom")

    def decode(self, paths: list[str]) -> Run:
        """Compressed pixels to an array."""
        from pydicom.pixels import pixel_array

        check_readable(paths[0])
        return lambda: [pixel_array(path) for path in paths]


# --- The machine --------------------------------------------------------------------------------------------


class Machine:
    """What the machine can do: multiply-adds on registers alone, matrix products. The best is its limit."""

    def __init__(self, spec: dict[str, Any]):
        self.folder = Path(spec["folder"])

    def loop(self, precision: str, seconds: float) -> Run:
        """`peak.c` on all cores for about this long; returns the number of operations done."""
        library = compiled(self.folder)
        if not hasattr(library, precision):
            raise Missing("multiply-adds of bf16 vectors in this processor")
        body, flops = getattr(library, precision), getattr(library, f"{precision}_flops")()
        begun = time.perf_counter()
        body(1_000_000, 0.5, 1.0)
        rounds = max(1, round(1_000_000 * seconds / (time.perf_counter() - begun)))

        def run() -> float:
            # ctypes releases the GIL while a C function runs.
            threads = [threading.Thread(target=body, args=(rounds, 0.5, 1.0)) for _ in range(cores())]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return flops * rounds * cores()

        return run

    def flops(self) -> Run:
        """Operations that ResNet-50 without its classifier needs for one picture of 224 × 224, counted."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode
        from torchvision.models import resnet50

        network = resnet50(weights=None).eval()
        network.fc = torch.nn.Identity()

        def run() -> float:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(network_input(1))
            return float(counter.get_total_flops())

        return run

    def product(self, precision: str, side: int, seconds: float) -> Run:
        """A product of two square matrices; returns the number of operations done.

        They have `side` rows, or fewer if one product would take more than about `seconds`: without
        bf16 units, large ones take minutes.
        """
        import torch

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]

        def product_of(rows: int) -> Run:
            a, b = torch.rand(2, rows, rows).to(dtype)
            out = torch.empty_like(a)

            def run() -> float:
                torch.mm(a, b, out=out)
                return 2.0 * rows**3

            return run

        rows = min(side, 256)
        while rows < side:
            run = product_of(rows)
            run()  # the first time is slower
            begun = time.perf_counter()
            run()
            if 8 * (time.perf_counter() - begun) > seconds:  # twice as many rows take eight times as long
                break
            rows = min(2 * rows, side)
        return product_of(rows)


def compiled(folder: Path) -> Any:
    """Compile `peak.c` for this processor and return the library; its functions have their types.

    COURSE_PEAK_CFLAGS adds compiler flags: with `-U__AVX512BF16__` there is no bf16 loop on any processor.
    """
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    library, source = folder / "peak.so", Path(__file__).with_name("peak.c")
    more = os.environ.get("COURSE_PEAK_CFLAGS", "").split()
    command = ["cc", "-O3", native, "-ffp-contract=fast", *more, "-fPIC", "-shared", "-o", library, source]
    try:
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Missing("C compiler (cc)") from None
    loaded = ctypes.CDLL(str(library))
    for precision in ("fp32", "bf16"):
        if hasattr(loaded, precision):
            getattr(loaded, precision).argtypes = [ctypes.c_long, ctypes.c_float, ctypes.c_float]
            getattr(loaded, precision).restype = ctypes.c_double
            getattr(loaded, f"{precision}_flops").restype = ctypes.c_double
    return loaded


# --- The conversation ---------------------------------------------------------------------------------------

CONTESTANTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "torchvision": Torchvision,
    "torchvision_features": TorchvisionFeatures,
    "timm": Timm,
    "img2vec_pytorch": Img2Vec,
    "thingsvision": ThingsVision,
    "course": Course,
    "int8": Int8,
    "pretrained": Pretrained,
    "pydicom": PydicomDefault,
    "machine": Machine,
}


def measure(run: Run, least_seconds: float) -> dict[str, Any]:
    """Repeat a piece of work for at least this long; how much was done, how long it took, the page faults."""
    amount, faults, begun = 0.0, page_faults(), time.perf_counter()
    while True:
        result = run()
        amount += result if isinstance(result, float) else len(result)
        seconds = time.perf_counter() - begun
        if seconds >= least_seconds:
            return {"amount": amount, "seconds": seconds, "faults": page_faults() - faults}


def page_faults() -> int:
    """How many pages the system has had to map for this process so far; 0 if it does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def prepare(run: Run, save: str | None) -> dict[str, Any]:
    """Do a piece of work once, untimed; keep its vectors, or the hash of its pixels, for comparison."""
    result = run()
    if isinstance(result, float):
        return {"value": result}
    if isinstance(result, list):
        return {"sha256": hashlib.sha256(result[0].tobytes()).hexdigest()}
    if save is not None:
        import numpy as np

        np.save(save, result)
    return {"shape": list(result.shape)}


def versions() -> dict[str, str]:
    """Versions of what is measured, as far as it is installed where this process runs."""
    found = {}
    for package in ("torch", "torchvision", "timm", "img2vec_pytorch", "thingsvision", "openvino", "nncf"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> int:
    """Be one contestant until standard input ends."""
    spec = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        contestant = CONTESTANTS[spec["contestant"]](spec)
    except ModuleNotFoundError as error:
        answer(missing=f"the package {error.name}")
        return 0
    except Missing as error:
        answer(missing=str(error))
        return 0
    answer(ready=True, versions=versions(), about=getattr(contestant, "about", {}))
    runs: dict[str, Run] = {}
    for line in sys.stdin:
        request = json.loads(line)
        task, arguments = request["task"], request.get("arguments", {})
        key = json.dumps([task, arguments])
        try:
            if key not in runs:
                runs[key] = getattr(contestant, task)(**arguments)
            if request["do"] == "build":
                answer()
            elif request["do"] == "prepare":
                answer(**prepare(runs[key], request.get("save")))
            else:
                answer(**measure(runs[key], request["least_seconds"]))
        except Missing as error:
            answer(missing=str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Names that ordinary models of bags ask for; any other name in a pickle is suspicious."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES_BY_MODULE = {
    "__builtin__": "bytearray bytes getattr print set",
    "builtins": "bytearray bytes getattr print set",
    "_codecs": "encode",
    "cloudpickle.cloudpickle": "_builtin_type",
    "collections": "OrderedDict",
    "fastai.callback.core": "TrainEvalCallback",
    "fastai.callback.fp16": "MixedPrecision",
    "fastai.callback.progress": "ProgressCallback",
    "fastai.data.core": "DataLoaders",
    "fastai.data.load": "DataLoader _FakeLoader _wif",
    "fastai.learner": "AvgLoss AvgMetric AvgSmoothLoss CastToTensor Learner Recorder",
    "fastai.metrics": "AccumMetric",
    "fastai.optimizer": "Adam OptimWrapper",
    "fastai.torch_core": "trainable_params",
    "fastcore.foundation": "L",
    "functools": "partial",
    "marugoto.data": "EncodedDataset MapDataset SKLearnEncoder ZipDataset",
    "marugoto.mil.ViT": "Transformer ViT",
    "marugoto.mil._mil": "BagDataset MILModel",
    "marugoto.mil.data": (
        "BagDataset _attach_add_to_bag_and_zip_with_targ _splat_concat _splatter_concat "
        "zip_bag_targ"  # _splatter_concat from e0a576d until 554c43a
    ),
    "marugoto.mil.loss": "WeightedMSELoss mean_squared_error",
    "marugoto.mil.model": "MILModel",
    "marugoto.mil.transformer": "Attention FeedForward PreNorm",
    "numpy": "dtype float64 ndarray",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.multiarray": "_reconstruct scalar",
    "packaging.version": "Version",
    "pandas": "NA StringDtype",
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas.arrays": "ArrowStringArray StringArray",
    "pathlib": "PosixPath WindowsPath",
    # Python 3.13.
    "pathlib._local": "PosixPath WindowsPath",
    "pyarrow.lib": "_restore_array py_buffer type_for_alias",
    "random": "Random",
    "sklearn.impute._base": "SimpleImputer",
    "sklearn.metrics._ranking": "roc_auc_score",
    "sklearn.pipeline": "Pipeline",
    "sklearn.preprocessing._data": "StandardScaler",
    "sklearn.preprocessing._encoders": "OneHotEncoder",
    "stamp.modeling.marugoto.transformer.TransMIL": "Attention FeedForward TransMIL Transformer",
    "stamp.modeling.marugoto.transformer.ViT": "Transformer ViT",
    "stamp.modeling.marugoto.transformer.data": (
        "BagDataset EncodedDataset MapDataset ZipDataset _attach_add_to_bag_and_zip_with_targ "
        "_splat_concat zip_bag_targ"
    ),
    "stamp.modeling.marugoto.transformer.transformer": "Attention FeedForward PreNorm",
    "stamp.modeling.models.barspoon": "EncDecTransformer",
    "stamp.modeling.models.mlp": "Linear MLP",
    "stamp.modeling.models.trans_mil": "TransMIL",
    "stamp.modeling.models.vision_tranformer": "VisionTransformer",
    "torch": (
        "BFloat16Storage BoolStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage "
        "device"
    ),
    "torch._utils": "_rebuild_parameter _rebuild_tensor_v2",
    "torch.nn.modules.activation": "GELU MultiheadAttention ReLU Sigmoid Softmax Tanh",
    "torch.nn.modules.batchnorm": "BatchNorm1d",
    "torch.nn.modules.container": "ModuleList Sequential",
    "torch.nn.modules.dropout": "Dropout",
    "torch.nn.modules.flatten": "Flatten",
    "torch.nn.modules.linear": "Identity Linear NonDynamicallyQuantizableLinear",
    "torch.nn.modules.loss": "CrossEntropyLoss MSELoss",
    "torch.nn.modules.normalization": "LayerNorm",
    "torch.optim.adamw": "AdamW",
}
_KNOWN = frozenset(
    f"{module}.{name}" for module, names in _NAMES_BY_MODULE.items() for name in names.split()
)


def suspicious_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that no ordinary export asks for, in order."""
    return tuple(sorted(set(names) - _KNOWN))

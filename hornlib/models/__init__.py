"""The table of models: parameter classes, free of torch; each names the module of its network."""

from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.cnn_horn.parameters import CnnHornParameters
from hornlib.models.efficient.parameters import (
    EfficientNetParameters,
    MobileNetV3Parameters,
    ShuffleNetV2Parameters,
    SqueezeNetParameters,
)
from hornlib.models.evolved.parameters import NeatParameters, WannParameters
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.resnet.parameters import ResnetParameters
from hornlib.models.rnn.parameters import RnnParameters
from hornlib.models.shallow.parameters import ShallowParameters
from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeDensenetParameters,
    TimeResnetParameters,
)
from hornlib.models.vgg.parameters import VggParameters
from hornlib.parameters import ModelParameters

__all__ = ["MODELS"]

MODELS: dict[str, type[ModelParameters]] = {
    "horn": HornParameters,
    "horn_cnn": HornCnnParameters,
    "leaky_cnn": LeakyCnnParameters,
    "cnn_horn": CnnHornParameters,
    "cnn": CnnParameters,
    "mlp": MlpParameters,
    "rnn": RnnParameters,
    "vgg": VggParameters,
    "resnet": ResnetParameters,
    "time_resnet": TimeResnetParameters,
    "time_densenet": TimeDensenetParameters,
    "fractional_dnn": FractionalDnnParameters,
    "mobilenet_v3": MobileNetV3Parameters,
    "shufflenet_v2": ShuffleNetV2Parameters,
    "squeezenet": SqueezeNetParameters,
    "efficientnet": EfficientNetParameters,
    "shallow": ShallowParameters,
    "wann": WannParameters,
    "neat": NeatParameters,
}

"""ONNX files as messages: to look into foreign models without running them, and to write our own.

An ONNX file is one protobuf message. The fields below are those that the package reads or writes, with the numbers that
the format gives them (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); protobuf keeps all others unread. The
library `onnx` is not needed: with what it needs it has 29 MB and takes four times as long to import, while `protobuf`
comes with ONNX Runtime.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DATA_TYPES", "is_external", "list_nodes", "list_tensors", "parse_model", "proto"]

Message = Any
"""A protobuf message, whose class is made at run time."""

DATA_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
"""The number of each kind of tensor by the name of numpy's dtype."""
_EXTERNAL = 1  # the `data_location` of a tensor whose content is in another file

_SCHEMA = """
ModelProto: int64 ir_version 1, GraphProto graph 7, OperatorSetIdProto* opset_import 8, FunctionProto* functions 25
OperatorSetIdProto: string domain 1, int64 version 2
GraphProto: NodeProto* node 1, string name 2, TensorProto* initializer 5, SparseTensorProto* sparse_initializer 15
GraphProto: ValueInfoProto* input 11, ValueInfoProto* output 12
FunctionProto: string name 1, NodeProto* node 7, string domain 10
NodeProto: string* input 1, string* output 2, string name 3, string op_type 4, AttributeProto* attribute 5
NodeProto: string domain 7
AttributeProto: string name 1, float f 2, int64 i 3, bytes s 4, TensorProto t 5, GraphProto g 6, float* floats 7
AttributeProto: int64* ints 8, TensorProto* tensors 10, GraphProto* graphs 11, int32 type 20
AttributeProto: SparseTensorProto sparse_tensor 22, SparseTensorProto* sparse_tensors 23
TensorProto: int64* dims 1, int32 data_type 2, string name 8, bytes raw_data 9, StringEntry* external_data 13
TensorProto: int32 data_location 14
SparseTensorProto: TensorProto values 1, TensorProto indices 2
StringEntry: string key 1, string value 2
ValueInfoProto: string name 1, TypeProto type 2
TypeProto: TensorType tensor_type 1
TensorType: int32 elem_type 1, TensorShape shape 2
TensorShape: Dimension* dim 1
Dimension: int64 dim_value 1, string dim_param 2
"""
_FIELD = re.compile(r"(\w+)(\*?) (\w+) (\d+)")
_KINDS = {"float": 2, "int64": 3, "int32": 5, "string": 9, "bytes": 12}  # of protobuf's FieldDescriptorProto
_MESSAGE, _OPTIONAL, _REPEATED = 11, 1, 3


def parse_model(content: bytes) -> Message:
    """Parse a ModelProto. Raises an exception of protobuf's for anything else."""
    return _classes()["ModelProto"].FromString(content)


def proto(kind: str, /, **fields: Any) -> Message:  # noqa: ANN401  (whatever the message has)
    """A new message of this kind."""
    return _classes()[kind](**fields)


def list_nodes(model: Message) -> list[Message]:
    """Every node of a model, in its graph and in the functions that it defines; not those of control flow."""
    return [*model.graph.node, *(node for function in model.functions for node in function.node)]


def list_tensors(model: Message) -> Iterator[Message]:
    """Every tensor of a model: its constants and those of its operators' settings, dense and sparse."""
    settings = [attribute for node in list_nodes(model) for attribute in node.attribute]
    yield from model.graph.initializer
    for setting in settings:
        yield from ([setting.t] if setting.HasField("t") else [])
        yield from setting.tensors
    sparse = [*model.graph.sparse_initializer, *(each for setting in settings for each in setting.sparse_tensors)]
    for tensor in (*sparse, *(setting.sparse_tensor for setting in settings if setting.HasField("sparse_tensor"))):
        yield from (tensor.values, tensor.indices)


def is_external(tensor: Message) -> bool:
    """Whether the content of a tensor is in another file."""
    return bool(tensor.data_location == _EXTERNAL or tensor.external_data)


@cache
def _classes() -> dict[str, Any]:
    """The class of each kind of message, in a pool of its own, so that the library `onnx` can be there as well."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415  (20 ms)

    file = descriptor_pb2.FileDescriptorProto(name="onnx.proto", package="onnx", syntax="proto2")
    kinds: dict[str, Any] = {}
    for line in _SCHEMA.strip().splitlines():
        name, _, fields = line.partition(": ")
        if name not in kinds:
            kinds[name] = file.message_type.add(name=name)
        for kind, star, field, number in _FIELD.findall(fields):
            described = kinds[name].field.add(name=field, number=int(number), type=_KINDS.get(kind, _MESSAGE))
            described.label = _REPEATED if star else _OPTIONAL
            if kind not in _KINDS:
                described.type_name = f".onnx.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"onnx.{name}")) for name in kinds}

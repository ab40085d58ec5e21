"""Properties that must hold for all values: numbers, differences, records."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from zhurnal.core import diff, numbers, records
from zhurnal.core.settings import Settings, parse


@given(st.sets(st.integers(1, 9_999_999), min_size=1, max_size=50))
def test_numbers_printed_read_back(found):
    names = [numbers.name(n) for n in sorted(found)]
    assert numbers.parse(numbers.show(names)) == names


optimizers = st.one_of(
    st.fixed_dictionaries(
        {"name": st.just("sgd"), "lr": st.floats(1e-6, 1), "momentum": st.sampled_from([0.0, 0.5, 0.9]), "weight_decay": st.floats(0, 0.1)}
    ),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["adam", "adamw"]), "lr": st.floats(1e-6, 1), "betas": st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(list)}
    ),
    st.fixed_dictionaries({"name": st.just("rmsprop"), "alpha": st.floats(0, 0.99), "momentum": st.floats(0, 0.9)}),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["muon", "adagrad", "timm:lion"]),
            "head_lr": st.one_of(st.none(), st.floats(1e-6, 1)),
            "no_decay": st.sampled_from(["none", "norm_bias"]),
        }
    ),
)
models = st.one_of(
    st.just({"name": "lenet"}),
    st.fixed_dictionaries({"name": st.sampled_from(["vgg", "vgg_bn"]), "relu_inside": st.booleans(), "num_fc": st.sampled_from([1, 3])}),
    st.fixed_dictionaries({"name": st.just("net.py:Net"), "width": st.integers(1, 9)}),
)
schedulers = st.one_of(
    st.just("none"),
    st.fixed_dictionaries({"name": st.just("step"), "step_size": st.integers(1, 99), "gamma": st.floats(0.01, 1)}),
    st.fixed_dictionaries({"name": st.sampled_from(["cosine", "exponential"]), "warmup_epochs": st.floats(0, 0.9)}),
    st.fixed_dictionaries(
        {"name": st.just("multi_step"), "milestones": st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True).map(sorted)}
    ),
)
steps = st.lists(
    st.one_of(
        st.sampled_from(["crop", "flip", "alternating_flip", "trivial_augment"]),
        st.builds(lambda size: {"cutout": {"size": size}}, st.one_of(st.none(), st.integers(1, 64))),
        st.builds(lambda scale, p: {"random_erasing": {"scale": sorted(scale), "p": p}}, st.tuples(*[st.floats(0.01, 1)] * 2), st.floats(0, 1)),
    ),
    max_size=4,
)
kinds = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(["digits", "cifar10"])}),
    st.fixed_dictionaries({"name": st.sampled_from(["folder", "npz", "penn_fudan"]), "path": st.sampled_from(["a/", "b.npz"])}),
    st.fixed_dictionaries({"name": st.just("dtd"), "path": st.just("a/"), "partition": st.one_of(st.none(), st.integers(1, 10))}),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["table", "huggingface"]), "path": st.sampled_from(["a/", "b"]), "label_column": st.sampled_from([None, "kind"])}
    ),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["d.py:load", "d.py:other"]), "path": st.sampled_from([None, "a/"])}, optional={"num": st.integers(1, 9)}
    ),
)
common = st.fixed_dictionaries(
    {
        "validation": st.one_of(st.just("test"), st.floats(0.01, 0.5)),
        "subset": st.one_of(st.none(), st.integers(1, 1000)),
        "transform": st.one_of(st.sampled_from(["init", "augment", "my.py:shift"]), steps),
        "normalize": st.one_of(st.sampled_from(["data", "none"]), st.just({"mean": [0.5], "std": [0.25]})),
    }
)
data = st.builds(lambda kind, rest: kind | rest, kinds, common)
trains = st.fixed_dictionaries({"epochs": st.integers(1, 300), "batch_size": st.integers(1, 4096), "drop_last": st.booleans()})
whole = st.builds(
    lambda **kw: parse(kw),
    data=data,
    model=models,
    optimizer=optimizers,
    scheduler=schedulers,
    train=trains,
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
)


@settings(max_examples=150, deadline=None)
@given(whole, whole)
def test_applying_the_difference_gives_the_child(parent: Settings, child: Settings):
    assert diff.apply(parent, diff.diff(parent, child)).settings == child


@settings(max_examples=50, deadline=None)
@given(whole)
def test_settings_written_out_are_no_difference(found: Settings):
    assert parse(found.to_dict()) == found
    assert diff.diff(found, parse(found.to_dict())) == {}


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8")),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
rows = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9).filter(lambda k: k not in ("kind", "crc")), plain, max_size=5).map(
    lambda values: {"kind": "iter", **values}
)


@given(rows)
def test_a_row_is_read_back(row):
    assert records.decode(records.encode(row)) == row
    assert orjson.loads(records.encode(row))["kind"] == "iter"


@settings(max_examples=60)
@given(st.lists(rows, min_size=1, max_size=5), st.data())
def test_a_record_cut_at_any_byte_still_reads_every_complete_row(many, cut):
    lines = [records.encode(r) for r in many]
    whole = b"".join(lines)
    at = cut.draw(st.integers(0, len(whole)))
    found, problems, length = records.decode_all(whole[:at])
    complete = sum(1 for i in range(len(lines)) if len(b"".join(lines[: i + 1])) <= at)
    assert found == many[:complete]
    assert length == len(b"".join(lines[:complete]))
    assert bool(problems) == (length < at)


@settings(max_examples=100)
@given(st.lists(rows, min_size=2, max_size=4), st.data())
def test_a_flipped_bit_hides_no_other_row(many, flip):
    lines = [records.encode(r) for r in many]
    at = flip.draw(st.integers(0, len(lines[0]) - 2))
    bit = flip.draw(st.integers(0, 7))
    damaged = bytearray(lines[0])
    damaged[at] ^= 1 << bit
    if damaged[at] in b"\r\n":
        return
    found, problems, _ = records.decode_all(bytes(damaged) + b"".join(lines[1:]))
    assert found[-len(many[1:]) :] == many[1:]
    assert problems or found == many

from torch import nn

from reid.denoise.dataflow import read_dataflow


class Block(nn.Module):
    """Registered in another order than run; one convolution is read twice, one never."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 2)
        self.norm = nn.BatchNorm2d(2)
        self.conv = nn.Conv2d(2, 2, 1)
        self.branch = nn.Conv2d(2, 2, 1)
        self.branch_norm = nn.BatchNorm2d(2)
        self.unused = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        x = self.norm(self.conv(x))
        y = self.branch(x)
        return self.last((self.branch_norm(y) + y).mean((2, 3)))


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Block()
        self.head = nn.Linear(2, 2)

    def forward(self, images):
        return [self.head(self.body(image)) for image in images]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, x):
        return self.second(self.conv(self.first(self.conv(x))))


def test_layers_come_in_the_order_in_which_they_run():
    assert read_dataflow(Block()).order == ["conv", "branch", "last"]


def test_only_the_single_reader_counts_as_the_batch_norm_behind():
    assert read_dataflow(Block()).batch_norm == {"conv": "norm"}


def test_layers_that_never_run_are_named():
    assert read_dataflow(Block()).uncalled == {"unused"}


def test_parts_of_an_untraceable_model_are_traced_one_by_one():
    flow = read_dataflow(Untraceable())
    assert flow.order == ["body.conv", "body.branch", "body.last", "head"]
    assert flow.batch_norm == {"body.conv": "body.norm"}


def test_a_convolution_that_runs_twice_has_no_batch_norm_of_its_own():
    assert read_dataflow(Twice()).batch_norm == {}


def test_a_batch_norm_without_running_statistics_does_not_count():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    assert read_dataflow(model).batch_norm == {}


def test_a_layer_alone_is_its_own_flow():
    assert read_dataflow(nn.Linear(2, 2)).order == [""]


class HoldsTorchsDecoder(nn.Module):
    """torch's own layers are single nodes of a trace, and what they hold is called none the less."""

    def __init__(self):
        super().__init__()
        self.first, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decoder = nn.TransformerDecoderLayer(4, 2, 8)
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.decoder(self.first(x), x))


def test_torchs_own_modules_are_entered_where_they_are_called():
    flow = read_dataflow(HoldsTorchsDecoder())
    order = [name for name in flow.order if "attn" not in name]
    assert order == ["first", "decoder.linear1", "decoder.linear2", "last"]
    assert "unused" in flow.uncalled
    assert not {"decoder.linear1", "decoder.linear2"} & flow.uncalled

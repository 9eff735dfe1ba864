"""A benchmark of one's own: classify a 32x32 image with a given number of parameters."""

from plugins.contract import Descriptor, Edit, Evaluation, Option, PluginError, Prompt, Prompts
from plugins.reports import integer
from sandbox.job import GuestCode, Job

HEADER = "import torch\nimport torch.nn as nn\n"
NET = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))

    def forward(self, x):
        return self.head(x)
"""
MUTATIONS = (
    Prompt("Add a convolutional layer", Edit(add="nn.Conv2d(3, 3, 9, padding=4)")),
    Prompt("Delete a layer", Edit(delete=True)),
)
CROSSOVER = Prompt("Combine the above two networks", Edit(combine=True))
PARAMS = {"args": [], "input_shape": [2, 3, 32, 32], "output_shape": [2, 10]}


class ParameterBudget:
    name = "parameter-budget"
    summary = "A 32x32 image classifier with a given number of parameters"
    options = (Option("target", 50_000, "Parameters wanted.", int),)
    seed = HEADER + NET
    prompts = Prompts(mutations=MUTATIONS, crossover=CROSSOVER, header=HEADER)

    def __init__(self, target=50_000):
        if target < 1:
            raise PluginError(f"expected --target to be 1 or more, found {target}")
        self.target = target
        total = Descriptor("parameters", "parameters", 0, 2 * target)
        missing = Descriptor("missing", "parameters missing", 0, target)
        self.descriptors = (total, missing)

    def prepare(self, progress):
        """There is no data to bring up."""

    def job(self, source):
        return Job(source, GuestCode("sandbox.guest.tasks.check:run"), PARAMS)

    def evaluate(self, report):
        found = integer(report, "parameters", 0, 10**12)
        fitness = 100 * min(found, self.target) / max(found, self.target)
        missing = max(0, self.target - found)
        return Evaluation(fitness, (found, missing), details={"parameters": found})

    def test_score(self, evaluation, report):
        return None

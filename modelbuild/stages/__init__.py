"""Stages, the jobs that ask them, and the machinery that answers.

A stage is a pure function of files::

    @stage("optimize", code=("modelbuild.passes", …), versions=("numpy",))
    def optimize(inputs: Inputs, params: Params, out: Outputs) -> None: …

A `Job` asks a stage for a subject; jobs name the jobs and files that they read. `Build.ensure` answers from the store
or runs what is missing; `Build.forecast` says what that would be and why, and runs nothing. `Build.deliver` lays
answers out as files. An `Errand` is all that is asked for one artifact: `Build.fulfil` does it here, or has a worker of
a `Pool` (``modelbuild.stages.pool``) do all of it.

The key of an answer (`stages.key`) is everything that it depends on: the stage, its code, the params, the versions of
packages, the digests of the inputs' results by role. Equal keys have equal answers on every machine; a job whose
inputs were made again with equal results does not run again. Why one did run is data: `Reason`.
"""

from modelbuild.stages.build import Answer, Build, Forecast
from modelbuild.stages.errand import Done, Errand, Said, Shipment, Step
from modelbuild.stages.event import Event, Listener
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.job import FileInput, Job
from modelbuild.stages.key import Key
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.reason import Reason
from modelbuild.stages.stage import Params, Stage, stage

__all__ = [
    "Answer",
    "Build",
    "Done",
    "Errand",
    "Event",
    "FileInput",
    "Forecast",
    "Inputs",
    "Job",
    "Key",
    "Listener",
    "Outputs",
    "Params",
    "Reason",
    "Said",
    "Shipment",
    "Stage",
    "Step",
    "stage",
]

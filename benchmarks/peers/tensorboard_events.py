"""TensorBoard's EventAccumulator over event files, one folder a run; the learning rate is in the folder's name."""

from pathlib import Path

from common import Answer, Runs, by_rate, main
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(runs: Runs, home: Path) -> None:
    for name, lr, rows in runs:
        writer = EventFileWriter(str(home / f"{name},lr={lr!r}"))
        for row in rows:
            values = [Summary.Value(tag=k, simple_value=v) for k, v in row.items() if k != "step"]
            writer.add_event(Event(wall_time=row["step"], step=int(row["step"]), summary=Summary(value=values)))
        writer.close()


def answer(home: Path) -> Answer:
    finals: list[tuple[float, float]] = []
    for folder in sorted(home.iterdir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        finals.append((float(folder.name.rpartition("=")[2]), events.Scalars("val/acc")[-1].value))
    return by_rate(finals)


main(write, answer)

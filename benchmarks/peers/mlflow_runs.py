"""MLflow on as many runs, for `benchmarks/many_runs.py --peer`: its SQLite store, `search_runs` ordered by a metric, 100 rows.

    python mlflow_runs.py --num 10000 --folder FOLDER --make       # makes the store, prints MLflow's version
    python mlflow_runs.py --num 10000 --folder FOLDER              # searches once, prints the CPU seconds of the call

One run with 10 metrics and 20 parameters is logged by MLflow itself; the others are clones of its rows in the database, with other numbers:
to log all takes an hour. Needs mlflow-skinny, sqlalchemy and alembic.
"""

import argparse
import random
import sqlite3
import time
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient


def make(path: Path, client: MlflowClient, num: int) -> None:
    """Make the store at `path` with `num` runs."""
    experiment = client.create_experiment("many")
    first = client.create_run(experiment)
    for i in range(20):
        client.log_param(first.info.run_id, f"p{i}", i)
    for i in range(10):
        client.log_metric(first.info.run_id, f"m{i}", 0.5, step=20)
    client.set_terminated(first.info.run_id)
    generator = random.Random(0)
    with sqlite3.connect(path) as store:
        store.row_factory = sqlite3.Row
        tables = {t: [dict(r) for r in store.execute(f"SELECT * FROM {t}")] for t in ("runs", "metrics", "latest_metrics", "params", "tags")}
        for table, rows in tables.items():
            rows = [r for r in rows if r["run_uuid"] == first.info.run_id] if "run_uuid" in (rows[0] if rows else {}) else rows
            if not rows:
                continue
            columns = ", ".join(f'"{c}"' for c in rows[0])
            clones = []
            for n in range(1, num):
                for row in rows:
                    value = {"value": generator.random()} if table in ("metrics", "latest_metrics") else {}
                    clones.append(tuple((row | {"run_uuid": f"{n:032x}"} | value).values()))
            store.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(rows[0]))})", clones)
    store.close()


def main() -> None:
    """Make the store, or search in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--make", action="store_true")
    arguments = parser.parse_args()
    path = arguments.folder / f"mlflow-{arguments.num}.sqlite"
    if arguments.make:
        path.unlink(missing_ok=True)
    client = MlflowClient(f"sqlite:///{path}")
    if arguments.make:
        make(path, client, arguments.num)
        print(f"MLflow {mlflow.__version__}")
        return
    experiment = client.get_experiment_by_name("many")
    assert experiment is not None
    began = time.process_time()
    found = client.search_runs([experiment.experiment_id], order_by=["metrics.m3 DESC"], max_results=100)
    took = time.process_time() - began
    values = [run.data.metrics["m3"] for run in found]
    assert len(values) == min(100, arguments.num)
    assert values == sorted(values, reverse=True)
    print(f"{took:.3f}")


if __name__ == "__main__":
    main()

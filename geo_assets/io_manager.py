"""The I/O managers: results are committed atomically, inputs are lazy handles.

I/O managers are synchronous in Dagster, so nothing heavy happens here: an asset has staged its
objects before, `handle_output` only commits them, `load_input` only reads a commit.
"""

# Dagster reads the annotations of resources as objects, not as text, so this module does without
# `from __future__ import annotations`.

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from geo_assets.dagster_internals import describe_output, version_output
from geo_assets.errors import ContractError, InputError
from geo_assets.metadata import artifact_metadata
from geo_assets.model import Artifact
from geo_assets.production import Current, Staged
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore
from geo_assets.values import loader_for, stage_value

T = TypeVar("T")


class GeoIOManager(dg.ConfigurableIOManager):
    """Publishes artifacts under a root and hands them out again.

    Outputs may be

    - what `produce` staged (large results): committed,
    - a GeoDataFrame or an Arrow table: written as GeoParquet and committed,
    - a `Raster` in memory: written as COG and committed,
    - a mapping of partition keys to any of these: one commit each.

    Inputs are `Artifact` handles, or the in-memory type that the parameter is annotated with; a
    mapping by partition key, in sorted order, where the input spans several partitions.

    Every commit is atomic: readers see the old version or the new one, never a mixture.
    """

    store: dg.ResourceDependency[GeoStore]

    def artifacts(self) -> ArtifactStore:
        """The artifacts under the root."""
        return self.store.artifacts()

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Commit `obj`.

        Raises:
            CommitConflict: Another run published a different version meanwhile.
            ContractError: `obj` is nothing that can be published, or spans other partitions.
        """
        if obj is None:
            return
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else [None]
        values = _by_partition(obj, keys, context.asset_key)
        published = wait(self._publish(context, values))
        for partition, (artifact, metadata) in published.items():
            if partition is not None and len(published) > 1:
                describe_output(context, partition, metadata)
            else:
                version_output(context, artifact.version)
                context.add_output_metadata(metadata)

    async def _publish(
        self, context: dg.OutputContext, values: Mapping[str | None, Any]
    ) -> dict[str | None, tuple[Artifact, dict[str, dg.MetadataValue]]]:
        """Stage all values before the first commit, so that a wrong one leaves all as they were."""
        store = self.artifacts()
        staged = {
            partition: value
            if isinstance(value, Artifact | Staged | Current)
            else await stage_value(
                value,
                store=store,
                asset=tuple(context.asset_key.path),
                partition=partition,
                run_id=context.run_id,
            )
            for partition, value in values.items()
        }
        published = {}
        for partition, value in staged.items():
            artifact = await _committed(value)
            published[partition] = (artifact, await artifact_metadata(store, artifact))
        return published

    def load_input(self, context: dg.InputContext) -> Any:
        """The newest version of the input's partitions, as the annotation asks for.

        Raises:
            InputError: A partition has never been materialized.
        """
        annotation = context.dagster_type.typing_type
        many = get_origin(annotation) in (dict, Mapping)
        wanted = get_args(annotation)[1] if many and get_args(annotation) else annotation
        asset = tuple(context.asset_key.path)
        loader = loader_for(None if many and wanted is annotation else wanted)
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else [None]
        loaded = wait(self._load(asset, keys, loader))
        return loaded if many or len(keys) != 1 else loaded[keys[0]]

    async def _load(
        self, asset: tuple[str, ...], keys: list[Any], loader: Any
    ) -> dict[str | None, Any]:
        store = self.artifacts()
        found: dict[str | None, Artifact] = {}
        if keys != [None]:
            found.update((await store.newest_of(asset, keys)).items())
        elif (newest := await store.newest(asset, None)) is not None:
            found[None] = newest
        missing = [key for key in keys if key not in found]
        if missing:
            name = "/".join(asset)
            raise InputError("An input is materialized before it is read",
                             f"nothing for {', '.join(map(str, missing[:5]))}", name,
                             f"Materialize {name} first.")  # fmt: skip
        return {key: await loader(store, found[key]) for key in keys}


class GeoS3IOManager(GeoIOManager):
    """`GeoIOManager` with the field names of dagster-aws: a bucket and a prefix in it."""

    store: dg.ResourceDependency[GeoStore] | None = None  # type: ignore[assignment]
    s3_resource: dg.ResourceDependency[S3Resource]
    s3_bucket: str = Field(description="The bucket.")
    s3_prefix: str = Field(default="dagster", description="Prefix of all objects in the bucket.")

    def artifacts(self) -> ArtifactStore:
        """The artifacts under the prefix."""
        root = f"s3://{self.s3_bucket}/{self.s3_prefix}".rstrip("/")
        return GeoStore(root=root, s3=self.s3_resource).artifacts()


async def _committed(value: Artifact | Staged | Current) -> Artifact:
    if isinstance(value, Staged):
        return await value.commit()
    return value.artifact if isinstance(value, Current) else value


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, whether or not a loop runs here.

    It runs on a loop of its own in a thread, because Dagster may call an I/O manager while the
    thread's own loop is between two steps of an asset.
    """
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, name="geo-assets-io")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def _by_partition(obj: Any, keys: Sequence[Any], asset: dg.AssetKey) -> dict[str | None, Any]:
    if isinstance(obj, Mapping):
        if set(obj) != set(keys):
            raise ContractError("A mapping output has one value for each partition of the run",
                                f"{sorted(map(str, obj))[:5]}", asset.to_user_string())  # fmt: skip
        return dict(obj)
    if len(keys) != 1:
        raise ContractError("An output for several partitions maps each key to its value",
                            type(obj).__name__, asset.to_user_string(),
                            "Return {partition key: value}.")  # fmt: skip
    return {keys[0]: obj}

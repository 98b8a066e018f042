"""How one partition of an asset is made: the same way for every asset.

```
current already? -> no-op
begin a draft -> adopt finished chunks -> stream the rest through the engine -> stage
-> finish (index, picture, contract) -> Staged, which the I/O manager commits
```

A run that dies anywhere before the commit has published nothing; the next run with the same
inputs finds the chunks that were staged and does only the others.
"""

from geo_assets.production.bench import Bench
from geo_assets.production.once import OnceByKey
from geo_assets.production.produce import Current, Staged, produce
from geo_assets.production.recipe import Merged, Publication, Recipe

__all__ = [
    "Bench",
    "Current",
    "Merged",
    "OnceByKey",
    "Publication",
    "Recipe",
    "Staged",
    "produce",
]

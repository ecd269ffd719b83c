"""One cache for all instances of a Next.js release.

Next.js keeps pages that it made anew, and fetched data, in each process by itself: with several instances a visitor sees old and
new in turns, and an instance that restarts shows the page of the build again. Its answer is a `cacheHandler`, which the
platform is to bring. Ours is put beside the server, and does something only where the environment has Redis
(`GANTRY_REDIS_URL`) and the product brings none: so a build is the same with and without.
"""

import re
import shutil
from pathlib import Path

FOLDER = ".gantry-next-cache"
NOT_SHARED = (
    "Next.js is not started in a way that is known here: each instance keeps a cache of its own"
)

_FILES = Path(__file__).parent / "next_cache_files"
_CONFIGURED = re.compile(
    r"^process\.env\.__NEXT_PRIVATE_STANDALONE_CONFIG = JSON\.stringify\(nextConfig\)",
    re.MULTILINE,
)


def share_cache(server: Path) -> bool:
    """Make the server of a standalone output ask for its cache when it starts; whether it does.

    Parameters:
        server: its `server.js`, in a copy that no product can write to any more.
    """
    text = server.read_text(encoding="utf-8")
    call = f'require("./{FOLDER}/configure.cjs")(nextConfig)\n'
    text, times = _CONFIGURED.subn(lambda match: call + match[0], text)
    if times != 1:
        return False
    folder = server.parent / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in sorted(_FILES.glob("*.cjs")):
        shutil.copyfile(file, folder / file.name)
    server.write_text(text, encoding="utf-8")
    return True

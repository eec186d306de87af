#!/usr/bin/env bash
# Makes benchmarks/.venv: Loadax as it stands in this checkout, and what it is compared with. Grain 0.2.17 gets an
# environment of its own, benchmarks/.venv-grain-0.2.17, with the same NumPy and JAX.
#
# PyTorch and TensorFlow are large and not for every platform; without them their lines are missing from the tables.
# TORCH may name another requirement or a wheel: TORCH=/path/to/torch-2.9.0+cpu-....whl benchmarks/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
venv=benchmarks/.venv

"$uv" venv --quiet --allow-existing "$venv"
install() { "$uv" pip install --quiet --python "$venv" "$@"; }

install -r benchmarks/requirements.txt \
    -e packages/loadax-core -e packages/loadax-datasets -e packages/loadax-distributed -e packages/loadax
install --torch-backend cpu "${TORCH:-torch}" || echo "PyTorch for CPU could not be installed; it is left out." >&2
install tensorflow-cpu || echo "TensorFlow for CPU could not be installed; it is left out." >&2

old=benchmarks/.venv-grain-0.2.17
"$uv" venv --quiet --allow-existing --python "$venv/bin/python" "$old"
"$uv" pip freeze --python "$venv" | grep -E '^(jax|jaxlib|numpy|opencv-python-headless|simplejpeg)==' |
    "$uv" pip install --quiet --python "$old" -r - grain==0.2.17

# Sourced by ./demo and ./check: the few system packages that the build needs, and where its output goes. With the word `tests`
# behind it, also what the tests need: a PostgreSQL server, which they start themselves, and openssl for its certificate.

# The build's output lies outside the checkout, so that a fresh clone does not compile RocksDB and DataFusion again.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/insitu/target}"

need=()
command -v cc >/dev/null && command -v c++ >/dev/null || need+=(build-essential)
command -v make >/dev/null || need+=(make)
command -v perl >/dev/null || need+=(perl)
# bindgen reads RocksDB's header with libclang and its own headers.
ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/*/libclang-*.so* >/dev/null 2>&1 \
    && ls -d /usr/lib/llvm-*/lib/clang/*/include /usr/lib/clang/*/include >/dev/null 2>&1 || need+=(libclang-dev)
install() {
    echo "installing $*"
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}
[ ${#need[@]} -eq 0 ] || install "${need[@]}"
if [ "${1:-}" = tests ]; then
    also=()
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || also+=(postgresql)
    command -v openssl >/dev/null || also+=(openssl)
    command -v setpriv >/dev/null || also+=(util-linux)
    # Without them the tests that need a server are left out, and it is said; everything else is tested.
    [ ${#also[@]} -eq 0 ] || install "${also[@]}" || echo "WARNING: ${also[*]} can't be installed"
fi
command -v cargo >/dev/null || { echo "cargo is missing; install rustup first: https://rustup.rs"; exit 1; }

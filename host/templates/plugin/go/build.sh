#!/bin/sh
# Builds the component: build.sh OUT.wasm
exec {{sdk}}/go/build "$@"

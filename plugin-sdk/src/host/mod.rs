//! The other side of every call: the host in a component, the fake of [`crate::testing`] in a native build. Both
//! have the same functions, in the words of this crate, and nothing else here knows which of them it talks to.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host::*;

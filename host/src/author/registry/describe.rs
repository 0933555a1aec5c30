//! The config that goes with a component: what it imports and exports, for tools that choose by it.

use anyhow::Context as _;
use serde_json::json;
use wasmparser::{Parser, Payload};

/// The text of the config. The same component has the same one, so it says no time.
pub(super) fn config(component: &[u8], digest: &str, author: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let (imports, exports) = names(component).context("the component cannot be read")?;
    Ok(serde_json::to_vec(&json!({
        "created": "1970-01-01T00:00:00Z",
        "author": author,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest],
        "component": { "exports": exports, "imports": imports, "target": null },
    }))?)
}

/// Of the outermost component; what is nested in it is its own affair.
fn names(component: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_and_exports_are_those_of_the_outermost_component() {
        let text = "(component (import \"a:b/c@1.0.0\" (instance)) (component (import \"x:y/z\" (instance)))
                    (core module (import \"m\" \"f\" (func))) (instance $i) (export \"d:e/f@1.0.0\" (instance $i)))";
        let (imports, exports) = names(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!((imports, exports), (vec!["a:b/c@1.0.0".to_owned()], vec!["d:e/f@1.0.0".to_owned()]));
        assert!(names(b"nonsense").is_err());
    }
}

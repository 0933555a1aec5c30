//! Many plugins at a start.

use std::{fs, time::Instant};

use super::world::{World, manifest, wasm, work};

const PLUGINS: usize = 50;

/// Another component that does the same: a section with its name, which means nothing.
fn of_its_own(mut component: Vec<u8>, name: &str) -> Vec<u8> {
    let text = name.as_bytes();
    let len = u8::try_from(text.len()).unwrap();
    component.extend([0, len + 1, len]);
    component.extend(text);
    component
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure that docs/performance.md has")]
async fn a_start_with_fifty_plugins_from_the_cache_compiles_nothing() {
    let mut world = World::new();
    world.settings.cache_dir = Some(world.root.join("cache"));
    let polite = wasm("polite");
    for no in 0..PLUGINS {
        let name = format!("polite-{no}");
        let dir = world.settings.dir.join(&name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{name}.wasm")), of_its_own(polite.clone(), &name)).unwrap();
        fs::write(dir.join("plugin.toml"), manifest(&name, "")).unwrap();
    }
    let mut took = Vec::new();
    for cached in [false, true, true] {
        let began = Instant::now();
        let plugins = world.start().await;
        took.push(began.elapsed());
        let status = plugins.status();
        assert_eq!(status.len(), PLUGINS);
        assert!(status.iter().all(|plugin| plugin.cached == cached), "{status:#?}");
        assert!(plugins.execute(work("polite-7", 1)).await.result.is_ok());
    }
    assert_eq!(fs::read_dir(world.root.join("cache")).unwrap().count(), PLUGINS);
    println!("{PLUGINS} plugins: compiled in {:?}, from the cache in {:?} and {:?}", took[0], took[1], took[2]);
}

//! The engine: what WebAssembly may be here, how instances get their memory, and the clock that bounds computing.

use std::{num::NonZeroUsize, thread, time::Duration};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{limiter::number, settings::Settings};

/// The grain of the CPU limit. Ten milliseconds is what other hosts take: fine enough for a limit of 500, and a hundred
/// increments of an atomic a second cost nothing.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// An engine, and whether it has the fast pool.
pub(super) struct Built {
    pub engine: Engine,
    pub pooled: bool,
}

/// Builds the engine, with the pool where the machine has the address space for it.
pub(super) fn build(settings: &Settings) -> wasmtime::Result<Built> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    let (engine, pooled) = match Engine::new(&config) {
        Ok(engine) => (engine, true),
        Err(error) => {
            tracing::warn!(
                "plugins run without the pool of instances, which costs several times the CPU per run: {error:#}. \
                 Lower plugins.concurrency, or allow the host more address space"
            );
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            (Engine::new(&config)?, false)
        }
    };
    tick(&engine)?;
    Ok(Built { engine, pooled })
}

/// The engine of a process that compiles and runs nothing. Code depends on [`config`] alone and not on where memory comes from,
/// so what it makes fits every engine of [`build`].
pub(super) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // A plain fiber for each call: nothing of the contract is concurrent, and the code for it is young.
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(32))
        // A run executed again must see the same bits.
        .cranelift_nan_canonicalization(true)
        // What no toolchain that we know of needs stays off. Multi-memory stays on: adapters between parts of a component use it.
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .shared_memory(false)
        // The gap between the two is what host functions have to themselves.
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        // A Python component's initial memory is one image of this size.
        .memory_guaranteed_dense_image_size(16 << 20);
    config
}

/// With wasmtime's own settings two threads do less than one, because each teardown gives its pages back and interrupts the
/// other cores. Kept resident, a slot is wiped in place.
fn pool(settings: &Settings) -> PoolingAllocationConfig {
    // The slots of runs that are being torn down while the next ones start.
    let runs = u32::try_from(settings.concurrency).unwrap_or(u32::MAX).saturating_add(4);
    let most = &settings.limits.ceiling;
    let mut pool = PoolingAllocationConfig::new();
    // As many of everything as all runs together may have, or one plugin could use up what another needs. It is address space
    // and counters; memory is what is used of it.
    pool.total_component_instances(runs)
        .total_core_instances(runs.saturating_mul(most.instances))
        .max_core_instances_per_component(most.instances)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .total_memories(runs.saturating_mul(most.memories))
        .max_memories_per_component(most.memories)
        .max_memories_per_module(most.memories)
        .max_memory_size(most.memory.size())
        .total_tables(runs.saturating_mul(most.tables))
        .max_tables_per_component(most.tables)
        .max_tables_per_module(most.tables)
        .table_elements(number(most.table_elements))
        .total_stacks(runs)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(32 << 10)
        // Asks the kernel which pages were touched, where it can (Linux 6.7 and later).
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Counts the engine's epoch up from a thread of its own, so that no busy executor can hold the clock up. It ends with the
/// engine.
fn tick(engine: &Engine) -> wasmtime::Result<()> {
    let weak = engine.weak();
    thread::Builder::new().name("plugin-ticks".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}

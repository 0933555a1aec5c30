use super::*;
use crate::plugin::{engine, tests::world, units::Bytes};

struct Place {
    dir: tempfile::TempDir,
    settings: Settings,
    engine: Engine,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { cache_dir: Some(dir.path().join("cache")), ..Settings::default() };
        Place { dir, settings, engine: engine::for_compiling().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn load(&self, wasm: &[u8]) -> Compiled {
        Cache::open(&self.settings).load(&self.engine, wasm).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// Components that differ in a byte, and so have code of their own.
fn component(no: u32) -> Vec<u8> {
    wat::parse_str(format!("(component (core module (func (export \"f\") (result i32) (i32.const {no}))))")).unwrap()
}

#[test]
fn the_engine_that_compiles_makes_code_for_the_engine_that_runs() {
    let place = Place::new();
    let pooled = engine::build(&place.settings).unwrap().engine;
    assert_eq!(key(&pooled, b"x"), key(&place.engine, b"x"));
    place.load(&world::wasm("polite"));
    assert!(Cache::open(&place.settings).load(&pooled, &world::wasm("polite")).unwrap().cached);
}

#[test]
fn code_is_kept_under_its_digest_in_a_directory_of_the_hosts_own() {
    let place = Place::new();
    assert!(!place.load(&component(1)).cached);
    assert!(place.load(&component(1)).cached);
    assert!(!place.load(&component(2)).cached);
    assert_eq!(fs::metadata(place.cache()).unwrap().mode() & 0o777, 0o700);
    for file in place.files() {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(place.files().len(), 2);
}

#[test]
fn one_bit_of_damage_anywhere_is_noticed_and_the_code_is_made_anew() {
    let place = Place::new();
    place.load(&component(1));
    let file = place.files().remove(0);
    let whole = fs::read(&file).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).unwrap();
        assert!(!place.load(&component(1)).cached, "byte {at}");
        assert!(place.load(&component(1)).cached);
        assert_eq!(fs::read(&file).unwrap(), whole, "compiling the same gives the same");
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(!place.load(&component(1)).cached);
}

#[test]
fn a_file_that_others_could_have_written_is_not_believed() {
    let place = Place::new();
    place.load(&component(1));
    let file = place.files().remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!place.load(&component(1)).cached);
    // Nor is a link to what may well be the right code.
    let elsewhere = place.dir.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(!place.load(&component(1)).cached);
}

#[test]
fn a_directory_that_others_can_write_is_not_used_and_left_as_it_is() {
    for mode in [0o777, 0o770, 0o702] {
        let place = Place::new();
        fs::create_dir(place.cache()).unwrap();
        fs::set_permissions(place.cache(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = prepare(&place.cache()).unwrap_err().to_string();
        assert!(refused.contains(&format!("{mode:o}")) && refused.contains("chmod 700"), "{refused}");
        assert!(!place.load(&component(1)).cached, "it works all the same");
        assert!(!place.load(&component(1)).cached);
        assert_eq!(place.files().len(), 0);
        assert_eq!(fs::metadata(place.cache()).unwrap().mode() & 0o777, mode);
    }
    let place = Place::new();
    fs::create_dir(place.dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(place.dir.path().join("real"), place.cache()).unwrap();
    assert!(prepare(&place.cache()).unwrap_err().to_string().contains("symbolic link"));
    // A directory above that anybody can write is as bad.
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(prepare(&place.cache()).unwrap_err().to_string().contains("chmod o-w"));
}

#[test]
fn what_was_not_used_for_longest_goes_when_there_is_too_much() {
    let mut place = Place::new();
    place.load(&component(1));
    let one = fs::metadata(&place.files()[0]).unwrap().len();
    place.load(&component(2));
    // Used again, so it is the second that was not used for longest.
    let long_ago = |file: &Path, s: i64| {
        let then = Timespec { tv_sec: s, tv_nsec: 0 };
        let times = Timestamps { last_access: then, last_modification: then };
        rustix::fs::futimens(File::open(file).unwrap(), &times).unwrap();
    };
    place.files().iter().for_each(|file| long_ago(file, 1_000));
    assert!(place.load(&component(1)).cached);
    place.settings.cache_bytes = Bytes(one * 2 + one / 2);
    place.load(&component(3));
    assert_eq!(place.files().len(), 2);
    assert!(place.load(&component(1)).cached && place.load(&component(3)).cached);
    assert!(!place.load(&component(2)).cached);
    // Even where nothing fits, what is needed now is made and used.
    place.settings.cache_bytes = Bytes(1);
    place.load(&component(4));
    assert_eq!(place.files().len(), 1);
}

#[test]
fn what_a_killed_host_had_begun_to_write_is_swept_and_what_another_is_writing_is_not() {
    let place = Place::new();
    place.load(&component(1));
    fs::write(place.cache().join(format!("{ASIDE}left")), b"half").unwrap();
    let being_written = aside(&place.cache()).unwrap();
    Cache::open(&place.settings);
    assert!(being_written.path().exists());
    assert_eq!(place.files().len(), 2);
}

#[test]
fn without_a_directory_everything_works_and_nothing_is_kept() {
    let place = Place::new();
    let settings = Settings { cache_dir: None, ..Settings::default() };
    for _ in 0..2 {
        assert!(!Cache::open(&settings).load(&place.engine, &component(1)).unwrap().cached);
    }
    // As where the directory cannot be made.
    let settings = Settings { cache_dir: Some("/proc/no/such/place".into()), ..Settings::default() };
    assert!(!Cache::open(&settings).load(&place.engine, &component(1)).unwrap().cached);
}

//! The configurations that ship, and the compose file.

use std::{collections::BTreeMap, fs, path::Path};

use libtest_mimic::{Failed, Trial};
use retention_signals::config::{self, KEYS, KeyDefault, Purpose, Sources};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("deploy: the example configuration loads", example_loads),
        Trial::test("deploy: the example configuration has every key with its default", example_is_complete),
        Trial::test("deploy: the compose file's configuration loads", compose_loads),
        Trial::test("deploy: the image runs as a numbered user without rights", image),
        Trial::test("deploy: the compose file pins images and publishes on loopback", compose),
    ]
}

fn read(path: &str) -> Result<String, Failed> {
    Ok(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path))?)
}

fn load(text: String) -> Result<config::Config, Failed> {
    let sources =
        Sources { file_text: Some(text), host_name: Some("shop-1".to_owned()), ..Sources::default() };
    config::load(&sources, Purpose::Kafka).map_err(|error| error.to_string().into())
}

fn example_loads() -> Result<(), Failed> {
    let config = load(read("retention-signals.example.toml")?)?;
    assert_eq!(config.kafka.bootstrap_servers(), Some("localhost:9092"));
    Ok(())
}

/// Keys stand behind `#` without a blank; prose has one.
fn example_is_complete() -> Result<(), Failed> {
    let text = read("retention-signals.example.toml")?;
    let mut section = String::new();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned() + ".";
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            let key = format!("{section}{key}")
                .replace("stores.north.", "stores.<id>.")
                .replace("intake.sources.shop.options.money", "intake.sources.<name>.options.<option>")
                .replace("intake.sources.shop.", "intake.sources.<name>.")
                .replace("rates.USD", "rates.<code>")
                .replace("currencies.IRT", "currencies.<code>");
            shown.insert(key, value.trim_matches('"').to_owned());
        }
    }
    for key in KEYS.iter().filter(|key| key.path != "kafka.<name>") {
        let value = shown.get(key.path).ok_or_else(|| format!("{} is missing", key.path))?;
        match key.default {
            // The store shows a zone for the sake of the example.
            KeyDefault::Value(default) if !key.path.starts_with("stores.") => {
                assert_eq!(value, default, "{}", key.path);
            }
            KeyDefault::Value(_) | KeyDefault::HostName | KeyDefault::Nothing | KeyDefault::Required => {}
        }
    }
    let known = |path: &str| path.starts_with("kafka.") || KEYS.iter().any(|key| key.path == path);
    let unknown: Vec<&String> = shown.keys().filter(|path| !known(path)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    Ok(())
}

fn compose_loads() -> Result<(), Failed> {
    let config = load(read("compose/retention-signals.toml")?)?;
    let compose = read("compose.yaml")?;
    let prometheus = read("prometheus/prometheus.yml")?;
    let port = config.http.listen.port();
    assert!(compose.contains(&format!("127.0.0.1:{port}:{port}")));
    assert!(prometheus.contains(&format!("port: {port}")));
    let state_dir = config.state_dir.display().to_string();
    assert!(
        compose.contains(&format!("state-1:{state_dir}"))
            && compose.contains(&format!("state-2:{state_dir}"))
    );
    assert!(read("Dockerfile")?.contains(&format!("VOLUME {state_dir}")));
    let servers = config.kafka.bootstrap_servers().ok_or("the file names the broker")?;
    assert!(compose.contains(&format!("INSIDE://{servers}")));
    Ok(())
}

/// Kubernetes cannot check that a name is not root.
fn image() -> Result<(), Failed> {
    let text = read("Dockerfile")?;
    let user = text.lines().find_map(|line| line.strip_prefix("USER ")).ok_or("the image has a user")?;
    assert_eq!(user, "65532:65532");
    assert!(text.contains("--chown=65532:65532"), "the folder of the state is the user's");
    assert!(
        text.contains("HEALTHCHECK ")
            && text.contains("\"/usr/local/bin/retention-signals\", \"healthcheck\"")
    );
    Ok(())
}

fn compose() -> Result<(), Failed> {
    let text = read("compose.yaml")?;
    let values = |key: &'static str| text.lines().filter_map(move |line| line.trim().strip_prefix(key));
    let images: Vec<&str> = values("image: ").filter(|image| *image != "retention-signals").collect();
    assert_eq!(images.len(), 3, "{images:?}");
    for image in images {
        let version =
            image.rsplit_once(':').map(|(_, version)| version).ok_or("an image without a version")?;
        assert!(version.contains(|letter: char| letter.is_ascii_digit()), "{image}");
    }
    let ports: Vec<&str> = values("ports: ").collect();
    assert_eq!(ports.len(), 5);
    for port in ports {
        assert!(port.starts_with("[\"127.0.0.1:"), "{port} is published beyond loopback");
    }
    // Two of them share the work only if each has a name of its own that stays.
    let names: Vec<&str> = values("hostname: retention-signals-").collect();
    assert_eq!(names, ["1", "2"]);
    for mounted in text.lines().filter_map(|line| line.trim().strip_prefix("- ./")) {
        let path = mounted.split(':').next().unwrap_or_default();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path);
        assert!(path.exists(), "{} is mounted and does not exist", path.display());
    }
    Ok(())
}

//! The Helm chart: rendered by Helm's own engine, held against the schemas of Kubernetes and of the Prometheus operator
//! (`tests/helm/chart.py`), and compared with the files and the program that it installs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::config::{self, Purpose, Sources};
use serde_json::{Value, json};

use super::dashboards;
use crate::process::run_to_end;
use crate::python;

const PATIENCE: Duration = Duration::from_secs(120);

pub fn trials() -> Vec<Trial> {
    vec![python::trial(
        "deploy: the chart renders what Kubernetes accepts",
        "tests/helm/requirements.txt",
        chart,
    )]
}

/// What the script found.
struct Rendered(Value);

impl Rendered {
    /// The documents of a template under some values.
    fn documents(&self, values: &str, template: &str) -> Result<&[Value]> {
        let documents = &self.0["rendered"][values]["documents"][template];
        Ok(documents.as_array().with_context(|| format!("{values}: {template} is not rendered"))?)
    }

    /// The only document of a template.
    fn document(&self, values: &str, template: &str) -> Result<&Value> {
        match self.documents(values, template)? {
            [document] => Ok(document),
            documents => anyhow::bail!("{values}: {template} has {} documents", documents.len()),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this extension, by name without it.
fn files(folder: &Path, extension: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
            found.insert(name, path);
        }
    }
    Ok(found)
}

fn chart(python: &Path) -> Result<()> {
    let accepted = files(&root().join("tests/helm/values"), "yaml")?;
    let refused = files(&root().join("tests/helm/values/refused"), "yaml")?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(python);
    command.arg(root().join("tests/helm/chart.py")).args(accepted.values()).args(refused.values());
    let output = run_to_end("chart", command, folder.path(), PATIENCE)?;
    // Helm's engine logs to standard error.
    let json = output.lines().next().context("the script prints one line")?;
    let rendered = Rendered(serde_json::from_str(json)?);
    ensure!(rendered.0["problems"] == json!([]), "{:#}", rendered.0["problems"]);
    for name in accepted.keys() {
        let outcome = &rendered.0["rendered"][name];
        ensure!(outcome["problems"] == json!([]), "{name}: {outcome:#}");
    }
    for (name, path) in &refused {
        // The first line names what the refusal must name.
        let text = fs::read_to_string(path)?;
        let reason = text.lines().next().and_then(|line| line.strip_prefix("# ")).context("a reason")?;
        let refusal = rendered.0["rendered"][name]["refused"].as_str().unwrap_or_default();
        ensure!(refusal.contains(reason), "{name} is to be refused for {reason:?}: {refusal:?}");
    }
    chart_holds_the_very_files(&rendered)?;
    pods_have_no_rights(&rendered)?;
    pods_have_valid_settings(&rendered)?;
    instances_keep_their_names(&rendered)
}

/// Rules and dashboards have no second copy that could differ.
fn chart_holds_the_very_files(rendered: &Rendered) -> Result<()> {
    let packed = rendered.0["files"].as_array().context("a list of files")?;
    ensure!(!packed.iter().any(|name| name.as_str().is_some_and(|name| name.ends_with(".py"))), "{packed:?}");
    let rules = &rendered.0["rules"];
    ensure!(rules.as_array().is_some_and(|groups| groups.len() > 3), "{rules}");
    ensure!(rendered.document("bare", "prometheusrule.yaml")?["spec"]["groups"] == *rules, "rules differ");
    let linked = rendered.document("everything", "prometheusrule.yaml")?["spec"]["groups"].to_string();
    let links = linked.matches("\"runbook_url\":").count();
    let absolute = linked
        .matches("\"runbook_url\":\"https://git.example/shop/retention-signals/docs/RUNBOOK.md#")
        .count();
    ensure!(links > 0 && links == absolute, "{absolute} of {links} links lead to the runbook");

    let mut boards = BTreeMap::new();
    for board in rendered.documents("everything", "dashboards.yaml")? {
        for (name, text) in board["data"].as_object().context("a ConfigMap with data")? {
            boards.insert(name.clone(), serde_json::from_str::<Value>(text.as_str().context("text")?)?);
        }
    }
    let mut expected = BTreeMap::new();
    for (name, path) in files(&dashboards::folder(), "json")? {
        expected.insert(format!("retention-{name}.json"), serde_json::from_str(&fs::read_to_string(path)?)?);
    }
    ensure!(boards == expected, "the chart has other dashboards: {:?}", boards.keys());
    Ok(())
}

fn pods_have_no_rights(rendered: &Rendered) -> Result<()> {
    for values in ["minimal", "everything", "bare"] {
        let set = &rendered.document(values, "statefulset.yaml")?["spec"]["template"]["spec"];
        let check = &rendered.document(values, "tests/check.yaml")?["spec"];
        for pod in [set, check] {
            let user = &pod["securityContext"];
            ensure!(
                user["runAsNonRoot"] == true && user["runAsUser"] == 65532 && user["fsGroup"] == 65532,
                "{user}"
            );
            ensure!(user["seccompProfile"]["type"] == "RuntimeDefault", "{user}");
            ensure!(
                pod["automountServiceAccountToken"] == false && pod["enableServiceLinks"] == false,
                "{pod}"
            );
            let containers = [&pod["initContainers"], &pod["containers"]];
            for container in containers.into_iter().filter_map(Value::as_array).flatten() {
                let rights = &container["securityContext"];
                let expected = json!({
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
                    "readOnlyRootFilesystem": true,
                });
                ensure!(*rights == expected, "{values}: {rights}");
            }
        }
    }
    let account = rendered.document("minimal", "serviceaccount.yaml")?;
    ensure!(account["automountServiceAccountToken"] == false, "{account}");
    Ok(())
}

/// The file and the variables of a container are a configuration of the program.
fn pods_have_valid_settings(rendered: &Rendered) -> Result<()> {
    let file = &rendered.document("minimal", "configmap.yaml")?["data"]["retention-signals.toml"];
    // Of the other values, so that secrets and further variables are among them.
    let set = rendered.document("everything", "statefulset.yaml")?;
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let text = |value: &Value| value.as_str().unwrap_or("from-elsewhere").to_owned();
    let variables = container["env"].as_array().context("variables")?;
    let sources = Sources {
        file_text: Some(text(file)),
        environment: variables.iter().map(|each| (text(&each["name"]), text(&each["value"]))).collect(),
        ..Sources::default()
    };
    let config = config::load(&sources, Purpose::Kafka)?;
    ensure!(
        config.instance == "from-elsewhere" && config.workers == 2,
        "{}, {}",
        config.instance,
        config.workers
    );
    ensure!(config.http.listen.to_string() == "0.0.0.0:8080", "{}", config.http.listen);
    let state_dir = json!({"name": "state", "mountPath": config.state_dir});
    let mounts = container["volumeMounts"].as_array().context("volumes")?;
    ensure!(mounts.contains(&state_dir), "{mounts:?}");
    let version = fs::read_to_string(root().join("deploy/helm/retention-signals/Chart.yaml"))?;
    let version = version.lines().find_map(|line| line.strip_prefix("appVersion: ")).unwrap_or_default();
    ensure!(version.trim_matches('"') == env!("CARGO_PKG_VERSION"), "appVersion is {version}");
    Ok(())
}

fn instances_keep_their_names(rendered: &Rendered) -> Result<()> {
    let set = &rendered.document("minimal", "statefulset.yaml")?["spec"];
    let service = rendered.document("minimal", "service.yaml")?;
    ensure!(
        set["serviceName"] == service["metadata"]["name"] && service["spec"]["clusterIP"] == "None",
        "{service}"
    );
    let container = &set["template"]["spec"]["containers"][0];
    let name = json!({
        "name": "RETENTION_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    });
    ensure!(container["env"].as_array().is_some_and(|variables| variables.contains(&name)), "{container}");
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        ensure!(container[probe]["httpGet"]["path"] == path, "{probe}: {}", container[probe]);
    }
    // Nothing is left to remove an erased customer's snapshot once its instance is gone.
    let expected = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    ensure!(set["persistentVolumeClaimRetentionPolicy"] == expected, "{set}");
    let selector = &set["selector"]["matchLabels"];
    for labels in [
        &service["spec"]["selector"],
        &rendered.document("minimal", "poddisruptionbudget.yaml")?["spec"]["selector"]["matchLabels"],
    ] {
        ensure!(labels == selector, "{labels} selects other pods than {selector}");
    }
    let check = &rendered.document("minimal", "tests/check.yaml")?["metadata"]["labels"];
    ensure!(check["app.kubernetes.io/component"] != selector["app.kubernetes.io/component"], "{check}");
    Ok(())
}

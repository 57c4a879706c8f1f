//! `acls print`: the least rights of the service, its operators, its consumers and the shop, for the tool that keeps them.

use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};

use crate::commands::cli::{self, CommonArguments};
use crate::config::{Config, Purpose};
use crate::exit::{Exit, Failure};
use crate::kafka::{self, Operation, Resource, Right, Role};

pub(super) const CODES: &str =
    "Exit codes:\n  0   printed\n  64  wrong arguments\n  70  a bug\n  78  wrong configuration";

/// Commands about rights.
#[derive(Subcommand, Clone, Debug)]
pub enum AclsCommand {
    /// Prints rights from the configuration, for the tool that keeps them; asks no broker
    #[command(after_long_help = CODES)]
    Print(AclsArguments),
}

/// The tool that keeps rights.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum AclFormat {
    /// Commands of Apache Kafka's `kafka-acls.sh`
    KafkaAcls,
    /// A `KafkaUser` for each principal
    Strimzi,
    /// Resources of the provider `Mongey/kafka`
    Terraform,
}

/// Arguments of `acls print`.
#[derive(Args, Clone, Debug)]
pub struct AclsArguments {
    /// The tool to print for
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "kafka-acls")]
    pub format: AclFormat,

    /// Who runs the service and `check`, such as User:retention. May be given again, as the others
    #[arg(long, value_name = "PRINCIPAL", required_unless_present_any = OTHERS)]
    pub principal: Vec<String>,

    /// Who runs `intake`
    #[arg(long, value_name = "PRINCIPAL")]
    pub intake: Vec<String>,

    /// Who runs `intake load`
    #[arg(long, value_name = "PRINCIPAL")]
    pub loader: Vec<String>,

    /// Who runs `topics plan` and `topics apply`
    #[arg(long, value_name = "PRINCIPAL")]
    pub operator: Vec<String>,

    /// Who runs `dead-letters list` and `dead-letters show`
    #[arg(long, value_name = "PRINCIPAL")]
    pub reviewer: Vec<String>,

    /// Who runs `dead-letters requeue` too
    #[arg(long, value_name = "PRINCIPAL")]
    pub repairer: Vec<String>,

    /// Who runs `erase`
    #[arg(long, value_name = "PRINCIPAL")]
    pub eraser: Vec<String>,

    /// Who runs `fit --publish`, `registry list` and `registry withdraw`
    #[arg(long, value_name = "PRINCIPAL")]
    pub publisher: Vec<String>,

    /// Who reads signals and profiles
    #[arg(long, value_name = "PRINCIPAL")]
    pub consumer: Vec<String>,

    /// The group that consumers read in; default: the consumer's name
    #[arg(long, value_name = "GROUP", requires = "consumer")]
    pub group: Option<String>,

    /// Who writes orders, returns and erasures
    #[arg(long, value_name = "PRINCIPAL")]
    pub producer: Vec<String>,
}

const OTHERS: [&str; 9] =
    ["intake", "loader", "operator", "reviewer", "repairer", "eraser", "publisher", "consumer", "producer"];

/// What one principal may do, in all its roles.
struct Grants {
    principal: String,
    /// What for, as a comment says it.
    purpose: String,
    /// By resource, in the order of the table.
    resources: Vec<(Resource, Vec<Operation>)>,
}

/// The text to print.
///
/// # Errors
/// The configuration cannot be used, or [`Exit::Usage`] for a principal without a kind, or one that the format cannot name.
pub fn run(common: &CommonArguments, arguments: &AclsArguments) -> Result<String, Failure> {
    let mut sources = common.sources()?;
    // Only names matter here.
    sources.fallbacks.push(("shop.currency", "EUR".to_owned(), "acls"));
    let config = cli::load(&sources, Purpose::Offline)?;
    let grants = grants(&config, arguments)?;
    match arguments.format {
        AclFormat::KafkaAcls => Ok(kafka_acls(&config, &grants)),
        AclFormat::Strimzi => strimzi(&config, &grants),
        AclFormat::Terraform => Ok(terraform(&grants)),
    }
}

fn grants(config: &Config, arguments: &AclsArguments) -> Result<Vec<Grants>, Failure> {
    let of = |principals: &[String], role: &Role, purpose| -> Vec<_> {
        principals.iter().map(|principal| (role.clone(), purpose, principal.clone())).collect()
    };
    let consumers = arguments.consumer.iter().map(|principal| {
        let group = arguments.group.clone().unwrap_or_else(|| name_of(principal).to_owned());
        (Role::Consumer(group), "reads signals and profiles", principal.clone())
    });
    let users = [
        of(&arguments.principal, &Role::Service, "run, check"),
        of(&arguments.intake, &Role::Intake, "intake"),
        of(&arguments.loader, &Role::Loader, "intake load"),
        of(&arguments.operator, &Role::Operator, "topics plan, topics apply"),
        of(&arguments.reviewer, &Role::Reviewer, "dead-letters list, dead-letters show"),
        of(&arguments.repairer, &Role::Repairer, "dead-letters list, show, requeue"),
        of(&arguments.eraser, &Role::Eraser, "erase"),
        of(&arguments.publisher, &Role::Publisher, "fit --publish, registry list, registry withdraw"),
        consumers.collect(),
        of(&arguments.producer, &Role::Producer, "writes orders, returns and erasures"),
    ];
    let raw_topics: Vec<String> = config.intake.iter().flat_map(|intake| intake.topics()).cloned().collect();
    let mut all: Vec<Grants> = Vec::new();
    for (role, purpose, principal) in users.into_iter().flatten() {
        if !principal.contains(':') || name_of(&principal).is_empty() {
            let message =
                format!("{principal:?} is no principal: write its kind before it, such as User:{principal}");
            return Err(Failure::message(Exit::Usage, message));
        }
        let rights = kafka::rights(&config.topics, &raw_topics, &config.application, &role);
        match all.iter_mut().find(|grants| grants.principal == principal) {
            Some(grants) => {
                grants.purpose = format!("{}; {purpose}", grants.purpose);
                grants.add(rights);
            }
            None => {
                let mut grants = Grants { principal, purpose: purpose.to_owned(), resources: Vec::new() };
                grants.add(rights);
                all.push(grants);
            }
        }
    }
    Ok(all)
}

impl Grants {
    /// A right that several roles need is granted once: two resources of one name are an error to Terraform.
    fn add(&mut self, rights: Vec<Right>) {
        for Right { resource, operation } in rights {
            match self.resources.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, operations)) if operations.contains(&operation) => {}
                Some((_, operations)) => operations.push(operation),
                None => self.resources.push((resource, vec![operation])),
            }
        }
    }
}

/// The name behind the kind: that of `User:retention` is `retention`.
fn name_of(principal: &str) -> &str {
    principal.split_once(':').map_or("", |(_, name)| name)
}

fn kafka_acls(config: &Config, grants: &[Grants]) -> String {
    let servers = config.kafka.bootstrap_servers().unwrap_or("HOST:9092");
    let mut text = String::new();
    for Grants { principal, purpose, resources } in grants {
        writeln!(text, "# {principal}: {purpose}").expect("writing to a string");
        for (resource, operations) in resources {
            let command = kafka::grant(servers, principal, resource, operations);
            writeln!(text, "{command}").expect("writing to a string");
        }
    }
    text
}

/// One `KafkaUser` each.
fn strimzi(config: &Config, grants: &[Grants]) -> Result<String, Failure> {
    let mut text = String::new();
    for Grants { principal, purpose, resources } in grants {
        let name = strimzi_name(principal)?;
        writeln!(
            text,
            "---\n# {principal}: {purpose}\n# v1beta2 for Strimzi before 0.49.\napiVersion: kafka.strimzi.io/v1\nkind: KafkaUser\n\
             metadata:\n  name: \"{name}\"\n  labels:\n    # The name of your Kafka resource.\n    strimzi.io/cluster: kafka\nspec:"
        )
        .expect("writing to a string");
        if let Some(kind) = authentication(config) {
            writeln!(text, "  authentication:\n    type: {kind}").expect("writing to a string");
        }
        text.push_str("  authorization:\n    type: simple\n    acls:\n");
        for (resource, operations) in resources {
            let (kind, pattern) = match resource {
                Resource::Topic(_) => ("topic", "literal"),
                Resource::Group(_) => ("group", "literal"),
                Resource::TransactionalIds(_) => ("transactionalId", "prefix"),
            };
            let name = resource.name();
            let operations: Vec<_> = operations.iter().map(|operation| operation.name()).collect();
            writeln!(
                text,
                "      - resource: {{type: {kind}, name: \"{name}\", patternType: {pattern}}}\n        operations: [{}]",
                operations.join(", ")
            )
            .expect("writing to a string");
        }
    }
    Ok(text)
}

/// How a `KafkaUser` logs in, where the configuration says it.
fn authentication(config: &Config) -> Option<&'static str> {
    let protocol = config.kafka.get("security.protocol")?.to_ascii_lowercase();
    let mechanism = config.kafka.get("sasl.mechanisms").or_else(|| config.kafka.get("sasl.mechanism"));
    match (protocol.as_str(), mechanism) {
        ("sasl_ssl" | "sasl_plaintext", Some("SCRAM-SHA-512")) => Some("scram-sha-512"),
        ("ssl", _) => Some("tls"),
        _ => None,
    }
}

/// The operator calls a user of the resource `NAME` `User:NAME`, or with a certificate `User:CN=NAME`.
fn strimzi_name(principal: &str) -> Result<&str, Failure> {
    let name = name_of(principal);
    let name = name.strip_prefix("CN=").unwrap_or(name);
    let is_edge = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_name = name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|letter| is_edge(letter) || letter == '-' || letter == '.');
    if is_name {
        return Ok(name);
    }
    let message = format!(
        "{principal} cannot be a KafkaUser: Strimzi's users have names of a-z, 0-9, - and ., such as User:retention-signals"
    );
    Err(Failure::message(Exit::Usage, message))
}

/// Resources of the provider `Mongey/kafka`, one for each right.
fn terraform(grants: &[Grants]) -> String {
    let mut text = String::new();
    for Grants { principal, purpose, resources } in grants {
        writeln!(text, "# {principal}: {purpose}").expect("writing to a string");
        for (resource, operations) in resources {
            let (kind, pattern) = match resource {
                Resource::Topic(_) => ("Topic", "Literal"),
                Resource::Group(_) => ("Group", "Literal"),
                Resource::TransactionalIds(_) => ("TransactionalID", "Prefixed"),
            };
            let name = resource.name();
            for operation in operations {
                let operation = operation.name();
                let label = label(&[name_of(principal), operation, kind, name]);
                writeln!(
                    text,
                    "resource \"kafka_acl\" \"{label}\" {{\n  resource_name                = \"{name}\"\n  \
                     resource_type                = \"{kind}\"\n  resource_pattern_type_filter = \"{pattern}\"\n  \
                     acl_principal                = \"{}\"\n  acl_host                     = \"*\"\n  \
                     acl_operation                = \"{operation}\"\n  acl_permission_type          = \"Allow\"\n}}\n",
                    escaped(principal)
                )
                .expect("writing to a string");
            }
        }
    }
    text
}

/// The name of a resource as Terraform takes it; it holds everything that tells two rights apart.
fn label(parts: &[&str]) -> String {
    let letters = parts.join("_");
    let plain = letters
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' });
    format!("retention_{}", plain.collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{")
}

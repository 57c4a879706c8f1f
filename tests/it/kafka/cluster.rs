//! Several nodes that hold each record three times.

use anyhow::{Result, ensure};

use super::client::Client;
use super::node::{KafkaNode, NodeSettings, Voter, free_port};

/// Nodes of one cluster; each is broker and controller.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<KafkaNode>,
    client: Client,
}

impl KafkaCluster {
    /// Three nodes; topics are made with three replicas, of which two must have a record before it counts.
    pub fn start() -> Result<KafkaCluster> {
        let voters =
            (1..=3).map(|node_id| Ok(Voter { node_id, port: free_port()? })).collect::<Result<Vec<_>>>()?;
        let first = NodeSettings { voters: voters.clone(), ..NodeSettings::default() }
            .set("default.replication.factor", "3")
            .set("min.insync.replicas", "2")
            .set("unclean.leader.election.enable", "false");
        // A node alone is not ready: it waits for the quorum.
        let nodes = voters
            .iter()
            .map(|voter| KafkaNode::launch(NodeSettings { node_id: voter.node_id, ..first.clone() }))
            .collect::<Result<Vec<_>>>()?;
        for node in &nodes {
            node.wait_until_ready()?;
        }
        let addresses: Vec<&str> = nodes.iter().map(KafkaNode::bootstrap_servers).collect();
        let client = Client::new(&addresses.join(","));
        Ok(KafkaCluster { nodes, client })
    }

    /// Access to whichever nodes are up.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// SIGKILL to one node.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        ensure!(index < self.nodes.len(), "no node {index}");
        self.nodes[index].kill()
    }

    /// Starts a killed node again.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        self.nodes[index].restart()
    }

    /// The last warnings of each node, for a failure's message.
    pub fn log_warnings(&self) -> String {
        self.nodes.iter().map(KafkaNode::log_warnings).collect::<Vec<_>>().join("\n")
    }
}

//! RabbitMQ's quorum queues: Raft with three replicas, which sync before they confirm, as Flotilla does.
//!
//! Messages are published to the node that leads the queue, with publisher confirms and without
//! waiting for each.

use anyhow::{Result, ensure};
use bytes::{BufMut, Bytes};

use super::amqp::{
    Acknowledgement, CONFIRM_SELECT, Connection, Field, QUEUE_DECLARE, QUEUE_DELETE,
    put_short_string, put_table,
};
use super::{NODE_COUNT, RabbitMq};
use crate::compare::Peer;
use crate::compare::generator::Writer;

pub(in crate::compare) struct QuorumQueues<'a>(pub(in crate::compare) &'a RabbitMq);

impl QuorumQueues<'_> {
    /// To the node that leads the queues: the one where they were declared.
    async fn connect(&self) -> Result<Connection> {
        Connection::open(self.0.nodes[0].amqp_port).await
    }
}

impl Peer for QuorumQueues<'_> {
    type Writer = QueueWriter;

    async fn create(&self, log: &str) -> Result<()> {
        const DURABLE: u8 = 2;
        let mut connection = self.connect().await?;
        let declared = connection.call(QUEUE_DECLARE, |body| {
            body.put_u16(0);
            put_short_string(body, log);
            body.put_u8(DURABLE);
            let replicas = Field::Number(NODE_COUNT as i32);
            put_table(
                body,
                &[
                    ("x-queue-type", Field::Text("quorum")),
                    ("x-quorum-initial-group-size", replicas),
                ],
            );
        });
        declared.await?;
        Ok(())
    }

    async fn writer(&self, log: &str) -> Result<QueueWriter> {
        let mut connection = self.connect().await?;
        connection
            .call(CONFIRM_SELECT, |body| body.put_u8(0))
            .await?;
        Ok(QueueWriter {
            connection,
            queue: log.to_owned(),
            open: OpenTags::default(),
        })
    }

    async fn delete(&self, log: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let deleted = connection.call(QUEUE_DELETE, |body| {
            body.put_u16(0);
            put_short_string(body, log);
            body.put_u8(0);
        });
        deleted.await?;
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        self.0.processes()
    }
}

pub(in crate::compare) struct QueueWriter {
    connection: Connection,
    queue: String,
    open: OpenTags,
}

impl Writer for QueueWriter {
    async fn send(&mut self, value: &Bytes) -> Result<()> {
        self.connection.put_message(&self.queue, value);
        self.open.add();
        self.connection.relieve().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.connection.push()
    }

    async fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> Result<()> {
        let mut unknown = false;
        while numbers.is_empty() {
            let open = &mut self.open;
            let on_acknowledgement =
                |acknowledged| unknown |= open.settle(acknowledged, numbers).is_none();
            self.connection.receive(on_acknowledgement).await?;
            ensure!(!unknown, "a message was confirmed that was not sent");
        }
        Ok(())
    }
}

/// Which messages are not confirmed. Tags count from 1, numbers of records from 0.
#[derive(Default)]
struct OpenTags {
    /// The number of the first that is in `is_open`.
    first: u64,
    is_open: std::collections::VecDeque<bool>,
}

impl OpenTags {
    fn add(&mut self) {
        self.is_open.push_back(true);
    }

    /// Adds the numbers of all that are confirmed by this. `None` if there is no such message.
    fn settle(&mut self, what: Acknowledgement, numbers: &mut Vec<u64>) -> Option<()> {
        let number = what.tag.checked_sub(1)?;
        let last = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let start = if what.multiple { 0 } else { last };
        for position in start..=last {
            if std::mem::take(self.is_open.get_mut(position)?) {
                numbers.push(self.first + position as u64);
            }
        }
        while self.is_open.front() == Some(&false) {
            self.is_open.pop_front();
            self.first += 1;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn one_confirmation_can_be_for_many_messages() -> Result<()> {
        let mut open = OpenTags::default();
        (0..5).for_each(|_| open.add());
        let mut numbers = Vec::new();
        let mut settle = |tag, multiple| {
            numbers.clear();
            let settled = open.settle(Acknowledgement { tag, multiple }, &mut numbers);
            settled.map(|()| numbers.clone()).context("no such message")
        };
        assert_eq!(settle(2, false)?, [1]);
        assert_eq!(settle(4, true)?, [0, 2, 3]);
        assert_eq!(settle(5, false)?, [4]);
        assert!(settle(6, true).is_err() && settle(0, false).is_err());
        Ok(())
    }
}

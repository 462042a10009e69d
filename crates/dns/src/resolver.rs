//! From a request to its response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::custom::CustomServers;
use crate::forward::{Forwarder, Transport};
use crate::index::Snapshot;
use crate::zone::{Lookup, TTL_SECONDS, Zone};

/// The largest response by UDP, in bytes: what passes every link unfragmented (dnsflagday.net, 2020).
const UDP_PAYLOAD_MAX: u16 = 1232;

/// The maximum size of a UDP response to clients that do not announce one (RFC 1035).
const UDP_PAYLOAD_DEFAULT: u16 = 512;

/// How many aliases are followed inside of the cluster.
const ALIASES_MAX: usize = 8;

/// Answers requests, from the cluster's names or through a [`Forwarder`].
pub struct Resolver {
    zone: Zone,
    snapshots: Arc<ArcSwap<Snapshot>>,
    forwarder: Forwarder,
    /// Counts answers, so that each begins with another address.
    turn: AtomicUsize,
}

/// The result of handling a request without waiting.
pub(crate) enum Reply {
    /// The response.
    Now(Vec<u8>),
    /// A response that still needs data from an upstream server.
    Later(Box<Unfinished>),
    /// Not a request: no answer is due.
    Nothing,
}

/// A response that waits for an upstream server.
pub(crate) struct Unfinished {
    response: Message,
    query: Query,
    limit: u16,
    transport: Transport,
}

impl Resolver {
    /// A resolver of the names in `zone`.
    pub(crate) fn new(zone: Zone, snapshots: Arc<ArcSwap<Snapshot>>, forwarder: Forwarder) -> Resolver {
        Resolver { zone, snapshots, forwarder, turn: AtomicUsize::new(0) }
    }

    /// Asks these servers from now on, where the cluster's configuration names any.
    pub(crate) fn set_custom(&self, servers: CustomServers) {
        self.forwarder.set_custom(servers);
    }

    /// Follows the host's own servers; returns if there is nothing to follow.
    pub(crate) async fn follow_host(&self) {
        self.forwarder.follow_host().await;
    }

    /// Answers a request if that is possible at once.
    pub(crate) fn begin(&self, request: &[u8], transport: Transport) -> Reply {
        let message = match Message::from_vec(request) {
            Ok(message) if message.metadata.message_type == MessageType::Query => message,
            Ok(_) => return Reply::Nothing,
            // A client that sent at least a header gets a format error.
            Err(_) => return malformed(request).map_or(Reply::Nothing, Reply::Now),
        };
        let limit = limit(&message, transport);
        let mut response = Message::new(message.metadata.id, MessageType::Response, message.metadata.op_code);
        response.metadata = Metadata::response_from_request(&message.metadata);
        response.metadata.recursion_available = true;
        response.add_queries(message.queries.iter().cloned());
        if let Some(edns) = &message.edns {
            response.set_edns(edns_of(edns));
        }
        if let Some(code) = refusal(&message) {
            response.metadata.response_code = code;
            return Reply::Now(encode(&response, limit));
        }
        // `refusal` lets only requests with one question through.
        let query = message.queries[0].clone();
        match self.answer(&mut response, &query) {
            None => Reply::Now(encode(&response, limit)),
            Some(query) => Reply::Later(Box::new(Unfinished { response, query, limit, transport })),
        }
    }

    /// Finishes what [`Resolver::begin`] could not.
    pub(crate) async fn finish(&self, unfinished: Unfinished) -> Vec<u8> {
        let Unfinished { mut response, query, limit, transport } = unfinished;
        let dnssec_ok = response.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        match self.forwarder.ask(&query, dnssec_ok, transport).await {
            Ok(upstream) => {
                response.metadata.response_code = upstream.metadata.response_code;
                response.metadata.truncation = upstream.metadata.truncation;
                response.metadata.authentic_data = upstream.metadata.authentic_data;
                response.add_answers(upstream.answers.iter().cloned().map(|r| spelled_as(r, query.name())));
                response.add_authorities(upstream.authorities.iter().cloned());
                response.add_additionals(upstream.additionals.iter().cloned());
            }
            Err(error) => {
                tracing::debug!(name = %query.name(), %error, "cannot forward a query");
                response.metadata.response_code = error.response_code();
            }
        }
        encode(&response, limit)
    }

    /// Answers that too many requests wait for upstream servers.
    pub(crate) fn overloaded(unfinished: Unfinished) -> Vec<u8> {
        let Unfinished { mut response, limit, .. } = unfinished;
        response.metadata.response_code = ResponseCode::ServFail;
        encode(&response, limit)
    }

    /// Puts the cluster's data into the response, and returns the question that remains for upstream.
    fn answer(&self, response: &mut Message, query: &Query) -> Option<Query> {
        let snapshot = self.snapshots.load();
        let mut name = query.name().clone();
        for _ in 0..ALIASES_MAX {
            match self.zone.lookup(&snapshot, &name, query.query_type()) {
                Lookup::Elsewhere => {
                    let mut rest = Query::query(name, query.query_type());
                    rest.set_query_class(query.query_class());
                    return Some(rest);
                }
                Lookup::Alias(target) => {
                    response.metadata.authoritative = true;
                    let alias = RData::CNAME(CNAME(target.clone()));
                    response.add_answer(Record::from_rdata(name, TTL_SECONDS, alias));
                    name = target;
                }
                found => {
                    self.write(response, name, found);
                    return None;
                }
            }
        }
        response.metadata.response_code = ResponseCode::ServFail;
        None
    }

    fn write(&self, response: &mut Message, name: Name, lookup: Lookup) {
        response.metadata.authoritative = true;
        match lookup {
            Lookup::Found { mut answers, additionals } => {
                let first = self.turn.fetch_add(1, Ordering::Relaxed) % answers.len();
                answers.rotate_left(first);
                response.add_answers(
                    answers.into_iter().map(|data| Record::from_rdata(name.clone(), TTL_SECONDS, data)),
                );
                response.add_additionals(additionals);
            }
            lookup => {
                if lookup == Lookup::NoName {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                response.add_authority(self.zone.soa());
            }
        }
    }
}

/// Why a request is not answered, if so.
fn refusal(message: &Message) -> Option<ResponseCode> {
    if message.metadata.op_code != OpCode::Query {
        return Some(ResponseCode::NotImp);
    }
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Some(ResponseCode::BADVERS);
    }
    match message.queries.as_slice() {
        [query] if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) => {
            Some(ResponseCode::Refused)
        }
        [query] if query.query_class() != DNSClass::IN => Some(ResponseCode::Refused),
        [_] => None,
        _ => Some(ResponseCode::FormErr),
    }
}

/// The response to a request that cannot be read; `None` if it is not even a request.
fn malformed(request: &[u8]) -> Option<Vec<u8>> {
    let header: &[u8; 12] = request.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    let id = u16::from_be_bytes([header[0], header[1]]);
    let response = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
    (!is_response).then(|| encode(&response, UDP_PAYLOAD_DEFAULT))
}

fn limit(message: &Message, transport: Transport) -> u16 {
    match (transport, &message.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(UDP_PAYLOAD_DEFAULT, UDP_PAYLOAD_MAX),
        (Transport::Udp, None) => UDP_PAYLOAD_DEFAULT,
    }
}

/// Our options, in answer to a client's.
fn edns_of(client: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD_MAX).set_dnssec_ok(client.flags().dnssec_ok);
    edns
}

/// Gives a record the spelling of the question's name, which clients may compare.
fn spelled_as(mut record: Record, name: &Name) -> Record {
    if record.name == *name {
        record.name = name.clone();
    }
    record
}

/// The encoded response with at most `limit` bytes; if not everything fits, it is truncated and marked so.
fn encode(response: &Message, limit: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    if response.emit(&mut encoder).is_ok() {
        return bytes;
    }
    let metadata = &response.metadata;
    let failed = Message::error_msg(metadata.id, metadata.op_code, ResponseCode::ServFail);
    // A message without questions and records has only a header, which cannot fail.
    failed.to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests;

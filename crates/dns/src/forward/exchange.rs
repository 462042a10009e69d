//! The exchange of one question with one server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{Question, Transport};

/// The payload that upstream servers may send by UDP, in bytes.
const PAYLOAD: u16 = 1232;

/// Asks `server`, and waits for its answer without a limit.
pub(super) async fn ask(server: SocketAddr, id: u16, question: &Question) -> std::io::Result<Message> {
    let request = request(id, question);
    let bytes = request.to_vec().map_err(std::io::Error::other)?;
    match question.transport {
        Transport::Udp => ask_by_udp(server, &bytes, &request).await,
        Transport::Tcp => ask_by_tcp(server, &bytes, &request).await,
    }
}

fn request(id: u16, question: &Question) -> Message {
    let mut request = Message::new(id, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request.add_query(Query::query(question.name.clone(), question.kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD).set_dnssec_ok(question.dnssec_ok);
    request.set_edns(edns);
    request
}

/// Each question has its own socket: the random port makes forged answers unlikely (RFC 5452).
async fn ask_by_udp(server: SocketAddr, bytes: &[u8], request: &Message) -> std::io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, request) => return Ok(answer),
            // Not the answer to this question, which may still arrive.
            _ => {}
        }
    }
}

async fn ask_by_tcp(server: SocketAddr, bytes: &[u8], request: &Message) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(std::io::Error::other)?;
    if answers(&answer, request) {
        return Ok(answer);
    }
    Err(std::io::Error::other("the answer is for a different question"))
}

fn answers(answer: &Message, request: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == request.metadata.id
        && answer.queries.first().map(|q| (&q.name, q.query_type))
            == request.queries.first().map(|q| (&q.name, q.query_type))
}

mod fuzz;

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::*;

/// No step takes longer unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_client_opens_a_stream_and_talks() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (opened, mut streams) = mpsc::channel(4);
    let task = tokio::spawn(serve(server, opened));
    let (mut from, mut to) = tokio::io::split(client);
    let mut compressor = Compressor::new().unwrap();
    let headers: Headers = [("streamtype".to_owned(), "data".to_owned())].into();
    to.write_all(&frame::syn_stream(1, &compressor.headers(&headers).unwrap())).await.unwrap();
    to.write_all(&frame::data_header(1, 5, true)).await.unwrap();
    to.write_all(b"hello").await.unwrap();
    to.write_all(&frame::ping(7)).await.unwrap();
    let mut stream = tokio::time::timeout(LIMIT, streams.recv()).await.unwrap().unwrap();
    assert_eq!(stream.headers, headers);
    assert_eq!(stream.reader.next().await.unwrap(), "hello");
    assert_eq!(stream.reader.next().await, None);
    assert!(stream.writer.send("world").await);
    stream.writer.close().await;

    let mut reply = [0; 8];
    from.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[..4], [0x80, 3, 0, 2], "the stream is accepted");
    let mut rest = vec![0; usize::from(reply[7])];
    from.read_exact(&mut rest).await.unwrap();
    let (mut frames, mut reader) = (Vec::new(), FrameReader::default());
    for _ in 0..3 {
        frames.push(tokio::time::timeout(LIMIT, reader.next(&mut from)).await.unwrap().unwrap().unwrap());
    }
    let data =
        |data: &'static str, last| Frame::Data { stream: 1, data: Bytes::from_static(data.as_bytes()), last };
    for wanted in [Frame::Control(Control::Ping { id: 7 }), data("world", false), data("", true)] {
        assert!(frames.contains(&wanted), "{wanted:?} is not in {frames:?}");
    }
    drop((from, to));
    tokio::time::timeout(LIMIT, task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn frames_that_are_too_long_end_the_connection() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (opened, _streams) = mpsc::channel(4);
    client.write_all(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]).await.unwrap();
    assert!(tokio::time::timeout(LIMIT, serve(server, opened)).await.unwrap().is_err());
}

#[tokio::test]
async fn a_long_data_frame_comes_in_pieces() {
    let mut bytes = frame::data_header(1, 200_000, true).to_vec();
    bytes.extend(std::iter::repeat_n(7, 200_000));
    bytes.extend(frame::ping(9));
    let (mut from, mut reader) = (bytes.as_slice(), FrameReader::default());
    let mut total = 0;
    loop {
        match reader.next(&mut from).await.unwrap().unwrap() {
            Frame::Data { stream: 1, data, last } => {
                assert!(data.len() <= 64 << 10 && data.iter().all(|byte| *byte == 7));
                total += data.len();
                assert_eq!(last, total == 200_000);
            }
            Frame::Control(Control::Ping { id: 9 }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(total, 200_000);
    assert!(reader.next(&mut from).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_opens_only_so_many_streams() {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (opened, mut streams) = mpsc::channel(4);
    let task = tokio::spawn(serve(server, opened));
    let mut compressor = Compressor::new().unwrap();
    let (mut from, mut to) = tokio::io::split(client);
    let mut kept = Vec::new();
    let open = async {
        for number in 0..=STREAMS_MAX {
            let headers = compressor.headers(&Headers::new()).unwrap();
            let id = u32::try_from(2 * number + 1).unwrap();
            if to.write_all(&frame::syn_stream(id, &headers)).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let drain = async { tokio::io::copy(&mut from, &mut tokio::io::sink()).await };
    let keep = async {
        while let Some(stream) = streams.recv().await {
            kept.push(stream);
        }
    };
    let all = async {
        tokio::select! { _ = drain => {}, () = async { tokio::join!(open, keep); } => {} }
    };
    tokio::time::timeout(LIMIT, all).await.unwrap();
    assert!(tokio::time::timeout(LIMIT, task).await.unwrap().unwrap().is_err());
}

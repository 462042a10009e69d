//! Properties that hold for all bytes that a client may send.

use std::collections::BTreeSet;

use ::fuzz::Target;

use super::*;

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name)
}

/// Typical input from clients: streams with headers, data, pings, and the end.
fn conversations() -> Vec<Vec<u8>> {
    let mut compressor = Compressor::new().unwrap();
    let mut all = Vec::new();
    let headers = |pairs: &[(&str, &str)]| -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    for (number, pairs) in
        [&[("streamtype", "data"), ("port", "80")][..], &[("streamtype", "error")], &[]].iter().enumerate()
    {
        let stream = 1 + 2 * u32::try_from(number).unwrap();
        all.extend(frame::syn_stream(stream, &compressor.headers(&headers(pairs)).unwrap()));
        all.extend(frame::data_header(stream, 5, number == 1));
        all.extend(b"hello");
    }
    let first = all.clone();
    all.extend(frame::ping(7));
    all.extend(frame::reset(1));
    all.extend(frame::syn_reply(3, &[]));
    vec![first, all, frame::ping(1).to_vec(), frame::data_header(1, 0, true).to_vec()]
}

/// All frames of some bytes, and whether the end was clean.
async fn frames(mut bytes: &[u8]) -> (Vec<Frame>, bool) {
    let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
    loop {
        match reader.next(&mut bytes).await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn frames_hold_no_more_than_was_sent() {
    let runtime = runtime();
    target("spdy").seeds(conversations()).run(|input| {
        let (frames, clean) = runtime.block_on(frames(input));
        let sizes = frames.iter().map(|frame| match frame {
            Frame::Data { data, .. } => data.len(),
            Frame::Control(Control::SynStream { headers, .. } | Control::Headers { headers }) => {
                headers.len() + 8
            }
            Frame::Control(_) => 8,
        });
        assert!(sizes.sum::<usize>() <= input.len(), "{frames:?}");
        assert!(
            frames.iter().all(|frame| !matches!(frame, Frame::Data { data, .. } if data.len() > 64 << 10))
        );
        clean
    });
}

#[test]
fn frames_are_read_as_they_are_written() {
    let runtime = runtime();
    target("spdy").seeds(conversations()).run(|input| {
        let (frames, clean) = runtime.block_on(frames(input));
        let mut written = Vec::new();
        for frame in &frames {
            match frame {
                Frame::Data { stream, data, last } => {
                    written.extend(frame::data_header(*stream, data.len(), *last));
                    written.extend_from_slice(data);
                }
                Frame::Control(Control::SynStream { stream, headers, last: false }) => {
                    written.extend(frame::syn_stream(*stream, headers));
                }
                Frame::Control(Control::Reset { stream }) => written.extend(frame::reset(*stream)),
                Frame::Control(Control::Ping { id }) => written.extend(frame::ping(*id)),
                // The server writes none of the others.
                Frame::Control(_) => return clean,
            }
        }
        assert_eq!(runtime.block_on(self::frames(&written)), (frames, true));
        clean
    });
}

#[test]
fn connections_end_whatever_comes() {
    let runtime = runtime();
    target("spdy").seeds(conversations()).inputs(500).run(|input| {
        let (accepted, streams) = runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let (opened, mut streams) = mpsc::channel(QUEUE_MAX);
            let talk = async {
                client.write_all(input).await.unwrap();
                client.shutdown().await.unwrap();
                // Answers must be taken, or the server waits.
                let mut answers = Vec::new();
                let _ = client.read_to_end(&mut answers).await;
            };
            let take = async {
                let mut seen = 0;
                while let Some(stream) = streams.recv().await {
                    seen += 1;
                    let SpdyStream { mut reader, writer, .. } = stream;
                    // As a server that reads nothing.
                    reader.data.close();
                    drop(writer);
                }
                seen
            };
            let (ended, (), seen) = tokio::join!(serve(server, opened), talk, take);
            (ended.is_ok(), seen)
        });
        assert!(streams <= input.len() / 18, "a stream is a frame of 18 bytes and more");
        accepted
    });
}

#[test]
fn header_blocks_are_bounded_and_come_back() {
    let mut compressor = Compressor::new().unwrap();
    let headers: Headers =
        [("a".to_owned(), "b".repeat(3000)), ("content-type".to_owned(), "x".to_owned())].into();
    let seeds = vec![
        compressor.headers(&headers).unwrap(),
        Compressor::new().unwrap().headers(&Headers::new()).unwrap(),
    ];
    target("spdy-headers").seeds(seeds).run(|input| {
        let Ok(read) = Decompressor::new().unwrap().headers(input) else { return false };
        let bytes: usize = read.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= 1 << 20, "{bytes} bytes of headers");
        let names: BTreeSet<String> = read.keys().map(|name| name.to_lowercase()).collect();
        assert!(names.iter().eq(read.keys()), "{read:?}");
        let written = Compressor::new().unwrap().headers(&read).unwrap();
        assert_eq!(Decompressor::new().unwrap().headers(&written).unwrap(), read);
        true
    });
}

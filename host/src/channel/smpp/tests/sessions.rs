//! Sessions with an SMSC that does what a test tells it: what is acknowledged, what is in doubt, and who is believed.

use super::*;

/// An SMSC that does what a test tells it, PDU by PDU.
struct Smsc<S = TcpStream>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Smsc<S> {
    async fn read(&mut self) -> (u32, u32, Vec<u8>) {
        let length = self.0.read_u32().await.unwrap() as usize;
        let mut rest = vec![0; length - 4];
        self.0.read_exact(&mut rest).await.unwrap();
        let field = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        (field(0), field(8), rest[12..].to_vec())
    }

    async fn say(&mut self, status: CommandStatus, sequence: u32, pdu: impl Into<Pdu>) {
        let command = Command::builder().status(status).sequence_number(sequence).pdu(pdu.into());
        self.0.write_all(&wire::octets(&command)).await.unwrap();
    }

    async fn begin(stream: S) -> Smsc<S> {
        let mut smsc = Smsc(stream);
        let (command, sequence, _) = smsc.read().await;
        assert_eq!(command, 0x09, "bind_transceiver");
        smsc.say(CommandStatus::EsmeRok, sequence, BindTransceiverResp::default()).await;
        smsc
    }

    /// Once it is answered, the other side sends over this session.
    async fn until_bound(mut self) -> Smsc<S> {
        self.say(CommandStatus::EsmeRok, 1_000, Pdu::EnquireLink).await;
        while self.read().await.0 != 0x8000_0015 {}
        self
    }

    async fn takes(&mut self, id: &str) -> Vec<u8> {
        let (command, sequence, body) = self.read().await;
        assert_eq!(command, 0x04, "submit_sm");
        let id = COctetString::from_string(id.to_owned()).unwrap();
        self.say(CommandStatus::EsmeRok, sequence, SubmitSmResp::builder().message_id(id).build()).await;
        body
    }

    async fn refuses(&mut self, status: CommandStatus) {
        let (_, sequence, _) = self.read().await;
        // Without a body, as many SMSCs do.
        let header = [16, 0x8000_0004, u32::from(status), sequence].map(u32::to_be_bytes).concat();
        self.0.write_all(&header).await.unwrap();
    }
}

impl Smsc {
    async fn accept(listener: &TcpListener) -> Smsc {
        Smsc::begin(listener.accept().await.unwrap().0).await
    }
}

/// What was handed in, and whether it can be stored.
#[derive(Default)]
struct Notebook {
    heard: Mutex<Vec<Report>>,
    broken: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Reports for Notebook {
    async fn record(&self, account: &str, reports: Vec<Report>) -> Result<(), String> {
        assert_eq!(account, "main");
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err("the store is broken".into());
        }
        self.heard.lock().unwrap().extend(reports);
        Ok(())
    }
}

struct Scene {
    listener: TcpListener,
    smpp: Arc<Smpp>,
    notebook: Arc<Notebook>,
    stop: CancellationToken,
    kept: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn begin(change: impl FnOnce(&mut SmppSettings)) -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = SmppSettings::sample("RELAIS");
        settings.address = listener.local_addr().unwrap().to_string();
        (settings.reconnect_first_ms, settings.reconnect_longest_ms) = (1, 5);
        change(&mut settings);
        let smpp = Arc::new(Smpp::new(&settings, Duration::from_secs(20)).unwrap());
        let (notebook, stop) = (Arc::<Notebook>::default(), CancellationToken::new());
        let kept = tokio::spawn(smpp.link().keep(notebook.clone(), stop.clone()));
        Scene { listener, smpp, notebook, stop, kept }
    }

    fn sends(&self, text: &str) -> tokio::task::JoinHandle<Answer> {
        let text = sms::Text {
            text: text.into(),
            encoding: sms::gsm::encoding(text),
            units: 1,
            parts: 1,
            changed: Vec::new(),
        };
        let outgoing = Outgoing {
            token: token(),
            to: "+33639981201".into(),
            body: Rendition::Sms(text),
            quote: None,
            expires: None,
            mime_type: None,
            instead: None,
            media_id: None,
        };
        let smpp = self.smpp.clone();
        tokio::spawn(async move { smpp.send(&outgoing).await })
    }
}

fn token() -> AttemptToken {
    AttemptToken { message: MessageId::of_request(&TenantId::default_tenant(), "k"), attempt: 1 }
}

fn accepted(ids: &str) -> Answer {
    Answer::Accepted { provider_id: ids.into() }
}

#[tokio::test]
async fn a_message_in_parts_is_accepted_with_the_ids_of_all() {
    let scene = Scene::begin(|_| {}).await;
    let sent = scene.sends(&"a".repeat(161));
    let mut smsc = Smsc::accept(&scene.listener).await;
    let first = smsc.takes("1").await;
    // The SMSC is short of room in the middle: the part is tried again, and the others are not sent twice.
    smsc.refuses(CommandStatus::EsmeRthrottled).await;
    let second = smsc.takes("2").await;
    assert_eq!(sent.await.unwrap(), accepted("main/1 main/2"));
    let reference = |body: &[u8], no| body.windows(6).any(|six| six[..3] == [5, 0, 3] && six[4..] == [2, no]);
    assert!(reference(&first, 1) && reference(&second, 2));
}

#[tokio::test]
async fn what_the_smsc_refuses_is_decided_by_its_code() {
    let scene = Scene::begin(|_| {}).await;
    let sent = scene.sends("a");
    let mut smsc = Smsc::accept(&scene.listener).await;
    smsc.refuses(CommandStatus::EsmeRthrottled).await;
    let Answer::Failed(failure) = sent.await.unwrap() else { panic!("not refused") };
    assert_eq!((failure.code.as_str(), failure.provider_code.as_deref()), ("rate-limited", Some("58")));
    assert_eq!(failure.retry, Retry::Later { after_ms: 1000 });
}

#[tokio::test]
async fn a_session_that_breaks_leaves_in_doubt_what_was_written_and_nothing_else() {
    let scene = Scene::begin(|settings| settings.window = 1).await;
    let (first, second) = (scene.sends("a"), scene.sends("b"));
    let mut smsc = Smsc::accept(&scene.listener).await;
    // One of them is on its way, the other has no place in the window.
    smsc.read().await;
    drop(smsc);
    let answers = [first.await.unwrap(), second.await.unwrap()];
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Answer::Unknown { .. })).count(), 1, "{answers:?}");
    let certain = |answer: &&Answer| matches!(answer, Answer::Failed(failure) if failure.code == "provider-down");
    assert_eq!(answers.iter().filter(certain).count(), 1, "{answers:?}");
    // It comes back by itself.
    let mut smsc = Smsc::accept(&scene.listener).await.until_bound().await;
    let sent = scene.sends("c");
    smsc.takes("3").await;
    assert_eq!(sent.await.unwrap(), accepted("main/3"));
}

#[tokio::test]
async fn an_answer_that_comes_late_still_says_that_it_was_taken() {
    let scene = Scene::begin(|_| {}).await;
    let sent = scene.sends("a");
    let mut smsc = Smsc::accept(&scene.listener).await;
    let (_, sequence, _) = smsc.read().await;
    // Whoever waits for it gives up.
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    let id = COctetString::from_string("9".to_owned()).unwrap();
    smsc.say(CommandStatus::EsmeRok, sequence, SubmitSmResp::builder().message_id(id).build()).await;
    // What is answered after it was heard after it.
    smsc.0.write_all(&octets(RECEIPT)).await.unwrap();
    assert_eq!(smsc.read().await.0, 0x8000_0005);
    let heard = scene.notebook.heard.lock().unwrap();
    let Report::Status(late) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!((late.token, late.provider_id.as_deref()), (Some(token()), Some("main/9")));
    assert_eq!(late.state, AttemptState::Accepted);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_stored() {
    let scene = Scene::begin(|_| {}).await;
    let mut smsc = Smsc::accept(&scene.listener).await;
    scene.notebook.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut answer = async || {
        smsc.0.write_all(&octets(RECEIPT)).await.unwrap();
        let length = smsc.0.read_u32().await.unwrap() as usize;
        let mut rest = vec![0; length - 4];
        smsc.0.read_exact(&mut rest).await.unwrap();
        let field = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        (field(0), field(4), field(8))
    };
    assert_eq!(answer().await, (0x8000_0005, 0x64, 3), "a temporary error: it comes again");
    scene.notebook.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(answer().await, (0x8000_0005, 0, 3));
    assert_eq!(scene.notebook.heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_smsc_asks_is_answered_and_a_stop_takes_leave() {
    let scene = Scene::begin(|_| {}).await;
    let mut smsc = Smsc::accept(&scene.listener).await;
    smsc.say(CommandStatus::EsmeRok, 77, Pdu::EnquireLink).await;
    assert_eq!(smsc.read().await, (0x8000_0015, 77, vec![]));
    // Something that nobody knows.
    smsc.0.write_all(&octets("00000010000001030000000000000005")).await.unwrap();
    assert_eq!(smsc.read().await, (0x8000_0000, 5, vec![]));
    scene.stop.cancel();
    let (command, sequence, _) = smsc.read().await;
    assert_eq!(command, 0x06, "unbind");
    smsc.say(CommandStatus::EsmeRok, sequence, Pdu::UnbindResp).await;
    scene.kept.await.unwrap();
    let answer = scene.smpp.link().session().await.err().unwrap();
    assert_eq!(answer.code, "provider-down");
}

#[tokio::test]
async fn an_smsc_that_does_not_answer_enquire_link_is_left() {
    let scene = Scene::begin(|settings| (settings.enquire_link_s, settings.response_timeout_ms) = (1, 500)).await;
    let mut silent = Smsc::accept(&scene.listener).await;
    assert_eq!(silent.read().await.0, 0x15);
    // It binds anew, while the other connection still stands.
    let mut smsc = Smsc::accept(&scene.listener).await.until_bound().await;
    let sent = scene.sends("a");
    while smsc.read().await.0 != 0x04 {}
    drop(smsc);
    assert!(matches!(sent.await.unwrap(), Answer::Unknown { .. }));
}

#[tokio::test]
async fn a_bind_that_is_refused_says_why() {
    let scene = Scene::begin(|_| {}).await;
    let sent = scene.sends("a");
    let (stream, _) = scene.listener.accept().await.unwrap();
    let mut smsc = Smsc(stream);
    let (_, sequence, _) = smsc.read().await;
    smsc.say(CommandStatus::EsmeRinvpaswd, sequence, BindTransceiverResp::default()).await;
    let Answer::Failed(failure) = sent.await.unwrap() else { panic!("sent") };
    assert_eq!((failure.code.as_str(), failure.provider_code.as_deref()), ("account-problem", Some("0E")));
}

#[tokio::test]
async fn without_an_smsc_nothing_was_sent() {
    let scene = Scene::begin(|settings| settings.address = "127.0.0.1:1".into()).await;
    let Answer::Failed(failure) = scene.sends("a").await.unwrap() else { panic!("sent") };
    assert_eq!((failure.code.as_str(), failure.retry), ("provider-down", Retry::Later { after_ms: 0 }));
}

#[tokio::test]
async fn tls_is_spoken_with_an_smsc_whose_certificate_is_believed_and_with_no_other() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/src/channel/smpp/tests");
    let certificate = CertificateDer::from_pem_file(format!("{place}/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{place}/key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    for known in [true, false] {
        let scene = Scene::begin(|settings| {
            settings.tls = true;
            settings.tls_roots = known.then(|| format!("{place}/certificate.pem").into());
        })
        .await;
        let sent = scene.sends("a");
        let stream = acceptor.accept(scene.listener.accept().await.unwrap().0).await;
        if known {
            Smsc::begin(stream.unwrap()).await.takes("1").await;
            assert_eq!(sent.await.unwrap(), accepted("main/1"));
        } else {
            assert!(stream.is_err());
            let Answer::Failed(failure) = sent.await.unwrap() else { panic!("sent to a stranger") };
            assert!(failure.detail.unwrap().contains("TLS"));
        }
    }
}

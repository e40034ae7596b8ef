//! Azurite, Azure Storage on this machine: one for all stories of a test process, or of a whole run, and an account of its own
//! for each story.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use uuid::Uuid;

/// The key of every account: `tests/azurite/leash.cjs` has the same.
pub(crate) const KEY: &str = "c3Rvcnk=";

/// Names an Azurite that is running already, by the ports of its blob, queue and table services, separated by commas.
const PORTS: &str = "AZURITE_PORTS";

/// How long Azurite may take for a start that takes a second.
const PATIENCE: Duration = Duration::from_mins(1);

static AZURITE: OnceLock<Azurite> = OnceLock::new();

/// A running Azurite. It lives as long as its standard input, and so ends with the test process, even by SIGKILL.
pub(crate) struct Azurite {
    ports: [u16; 3],
    _leash: Option<ChildStdin>,
}

/// A storage account that no other story uses, without any queue or table.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// The ports of its blob, queue and table services.
    pub(crate) ports: [u16; 3],
}

/// An Azurite of the story's own that speaks TLS and takes tokens, and an account of it.
pub(crate) fn secure(certificate: &Path, key: &Path) -> (Azurite, Account) {
    let (certificate, key) = (certificate.to_str().expect("letters"), key.to_str().expect("letters"));
    let azurite = Azurite::start(&["--oauth", "basic", "--cert", certificate, "--key", key]);
    let account = Account { name: name(), ports: azurite.ports };
    (azurite, account)
}

/// A fresh account. The first one of a test process starts Azurite.
pub(crate) fn account() -> Account {
    let azurite = AZURITE.get_or_init(|| match running_already() {
        Some(ports) => Azurite { ports, _leash: None },
        None => Azurite::start(&[]),
    });
    Account { name: name(), ports: azurite.ports }
}

/// Nobody else's. Account names have at most 24 letters and digits.
fn name() -> String {
    format!("it{}", &Uuid::new_v4().simple().to_string()[..20])
}

impl Account {
    /// The value of `AzureWebJobsStorage` that means this account.
    pub(crate) fn connection_string(&self) -> String {
        let Self { name, .. } = self;
        let [blob, queue, table] = [0, 1, 2].map(|service| self.endpoint(service));
        format!("AccountName={name};AccountKey={KEY};BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};")
    }

    fn endpoint(&self, service: usize) -> String {
        format!("http://127.0.0.1:{}/{}", self.ports[service], self.name)
    }
}

impl Azurite {
    fn start(more: &[&str]) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let installed = tests.join("node_modules/azurite").exists();
        assert!(installed, "Azurite is not installed: npm ci --prefix tests (tests/run does it)");
        let mut command = Command::new(tests.join("azurite/start"));
        command.args(more);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tests/azurite/start can be run");
        let leash = child.stdin.take();
        Self { ports: listening(child), _leash: leash }
    }
}

/// The ports, once all three services listen. Reads on to the end, so that Azurite is never stuck on a full pipe.
fn listening(mut child: Child) -> [u16; 3] {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some((_, address)) = line.split_once(" is successfully listening at http") {
                let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
                let _ = sender.send(port.expect("an address with a port"));
            }
        }
        child.wait()
    });
    [(); 3].map(|()| receiver.recv_timeout(PATIENCE).expect("Azurite listens"))
}

fn running_already() -> Option<[u16; 3]> {
    #[expect(clippy::disallowed_methods, reason = "tests/run names what it started")]
    let ports = std::env::var(PORTS).ok()?;
    let ports: Vec<u16> = ports.split(',').map(|port| port.parse().expect(PORTS)).collect();
    Some(ports.try_into().expect(PORTS))
}

#[test]
fn every_story_has_an_account_of_its_own() {
    let (one, other) = (account(), account());
    assert_ne!(one.name, other.name);
    assert_eq!(one.ports, other.ports);
    assert!(one.connection_string().contains(&format!("QueueEndpoint=http://127.0.0.1:{}/{}", one.ports[1], one.name)));
}

/// What `dev --storage azurite` starts is what the stories run on.
#[test]
fn one_version_of_azurite() {
    let package = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    assert_eq!(package["devDependencies"]["azurite"], marketplace_fulfillment::dev::azurite::VERSION);
}

//! `AzureWebJobsStorage` and what belongs to it, as the Functions host reads them.

use std::collections::BTreeMap;

use marketplace_fulfillment::settings::{StorageAccess, StorageSettings, find};

use crate::settings::with;

const STORAGE: &str = "AzureWebJobsStorage";
const KEY: &str = "c2VjcmV0LWtleQ==";

fn storage(set: &[(&str, &str)]) -> StorageSettings {
    with(set.iter().copied()).unwrap().storage.unwrap()
}

#[test]
fn without_an_account_everything_is_in_memory() {
    assert!(with([]).unwrap().storage.is_none());
    assert!(with([(STORAGE, " ")]).unwrap().storage.is_none());
}

/// A connection string, and where it leads.
#[test]
fn connection_strings() {
    let keyed = format!("AccountName=contoso;AccountKey={KEY}");
    let (azure_queue, azure_table) =
        ("https://contoso.queue.core.windows.net/", "https://contoso.table.core.windows.net/");
    let table = [
        (keyed.clone(), azure_queue, azure_table),
        (format!("DefaultEndpointsProtocol=https;{keyed};EndpointSuffix=core.windows.net"), azure_queue, azure_table),
        (format!(" ;accountname = contoso ;ACCOUNTKEY={KEY};; "), azure_queue, azure_table),
        (
            format!("{keyed};EndpointSuffix=core.chinacloudapi.cn"),
            "https://contoso.queue.core.chinacloudapi.cn/",
            "https://contoso.table.core.chinacloudapi.cn/",
        ),
        (
            format!(
                "{keyed};QueueEndpoint=http://127.0.0.1:1/contoso/;TableEndpoint=http://localhost:2/contoso;BlobEndpoint=x"
            ),
            "http://127.0.0.1:1/contoso",
            "http://localhost:2/contoso",
        ),
        (
            "QueueEndpoint=https://q.example;TableEndpoint=https://t.example/;SharedAccessSignature=?sv=1&sig=a%3D"
                .to_owned(),
            "https://q.example/",
            "https://t.example/",
        ),
        (
            "UseDevelopmentStorage=true".to_owned(),
            "http://127.0.0.1:10001/devstoreaccount1",
            "http://127.0.0.1:10002/devstoreaccount1",
        ),
        (
            "usedevelopmentstorage=True;DevelopmentStorageProxyUri=http://localhost:8888".to_owned(),
            "http://localhost:10001/devstoreaccount1",
            "http://localhost:10002/devstoreaccount1",
        ),
    ];
    for (connection, queues, tables) in table {
        let storage = storage(&[(STORAGE, &connection)]);
        assert_eq!((storage.queues.as_str(), storage.tables.as_str()), (queues, tables), "{connection}");
        let debug = format!("{storage:?}");
        assert!(!debug.contains(KEY) && !debug.contains("sig=") && !debug.contains("Eby8"), "{debug}");
        match storage.access {
            StorageAccess::Key { account, .. } => assert!(["contoso", "devstoreaccount1"].contains(&account.as_str())),
            StorageAccess::Signature(signature) => assert_eq!(signature.reveal(), "sv=1&sig=a%3D"),
            StorageAccess::Identity { .. } => panic!("{connection}"),
        }
    }
}

/// What is set, where the queues are, and which identity is meant.
type Identity<'a> = (&'a [(&'a str, &'a str)], &'a str, Option<&'a str>);

#[test]
fn an_identity_needs_no_secret() {
    const ID: &str = "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148";
    let uris = [
        ("AzureWebJobsStorage__queueServiceUri", "https://q.example/"),
        ("AzureWebJobsStorage__tableServiceUri", "https://t.example"),
    ];
    let named = ("AzureWebJobsStorage__accountName", "contoso");
    let azure_queue = "https://contoso.queue.core.windows.net/";
    let table: [Identity<'_>; 4] = [
        (&[named], azure_queue, None),
        (&[named, ("AzureWebJobsStorage__credential", "managedidentity")], azure_queue, None),
        (
            &[named, ("AzureWebJobsStorage__credential", "ManagedIdentity"), ("AzureWebJobsStorage__clientId", ID)],
            azure_queue,
            Some(ID),
        ),
        (&uris, "https://q.example/", None),
    ];
    for (set, queues, id) in table {
        let storage = storage(set);
        assert_eq!(storage.queues.as_str(), queues, "{set:?}");
        let StorageAccess::Identity { client_id } = storage.access else { panic!("{set:?}") };
        assert_eq!(client_id.as_deref(), id, "{set:?}");
    }
    // The order in which the host looks.
    assert_eq!(storage(&[named, uris[0], uris[1]]).queues.as_str(), azure_queue);
    let both = storage(&[named, (STORAGE, "UseDevelopmentStorage=true")]);
    assert!(matches!(both.access, StorageAccess::Key { .. }), "a connection string counts first");
}

/// Wrong settings, the key that the sentence begins with, and what it says.
#[test]
fn one_wrong_setting_is_one_sentence() {
    const NAME: &str = "AzureWebJobsStorage__accountName";
    const QUEUE: &str = "AzureWebJobsStorage__queueServiceUri";
    const TABLE: &str = "AzureWebJobsStorage__tableServiceUri";
    const CREDENTIAL: &str = "AzureWebJobsStorage__credential";
    let keyed = format!("AccountName=contoso;AccountKey={KEY}");
    let of = |more: &str| format!("{keyed};{more}");
    let connections = [
        (KEY.to_owned(), "neither AccountKey nor SharedAccessSignature"),
        ("hello".to_owned(), "a part that is not of the form name=value"),
        (of("AccountName=other"), "holds one of its parts twice"),
        ("AccountName=contoso".to_owned(), "neither AccountKey nor SharedAccessSignature"),
        (format!("AccountKey={KEY}"), "holds no AccountName"),
        (format!("AccountKey={KEY};QueueEndpoint=https://q.example;TableEndpoint=https://t.example"), "no AccountName"),
        (
            "QueueEndpoint=https://q.example;SharedAccessSignature=sig=x".to_owned(),
            "neither TableEndpoint nor AccountName",
        ),
        (of("SharedAccessSignature=sv=1&sig=x"), "both AccountKey and SharedAccessSignature"),
        ("AccountName=contoso;AccountKey=secret key".to_owned(), "AccountKey that is not base64"),
        ("AccountName=Contoso_1;AccountKey=c2VjcmV0LWtleQ==".to_owned(), "names an account that cannot be"),
        ("AccountName=contoso.evil.example/;AccountKey=c2VjcmV0LWtleQ==".to_owned(), "names an account that cannot be"),
        ("AccountName=contoso;SharedAccessSignature=sv=1&se=2".to_owned(), "without sig="),
        (of("DefaultEndpointsProtocol=http"), "must begin with https://"),
        (of("QueueEndpoint=http://azurite:10001/contoso"), "holds QueueEndpoint, which must begin with https://"),
        (of("QueueEndpoint=queue"), "holds QueueEndpoint, which is not a URL"),
        (of("TableEndpoint=https://t.example/?sv=1&sig=secret"), "without a query"),
        (of("TableEndpoint=https://user:pw@t.example/"), "without a password"),
        (of("EndpointSuffix=a b"), "is not a URL"),
        ("UseDevelopmentStorage=false".to_owned(), "another value than true"),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://10.0.0.1".to_owned(),
            "must begin with https://",
        ),
    ];
    let connections = connections.iter().map(|(value, says)| (vec![(STORAGE, value.as_str())], STORAGE, *says));
    let table = [
        (vec![(NAME, "Contoso")], NAME, "names an account that cannot be"),
        (vec![(QUEUE, "https://q.example")], TABLE, "is not set; set AzureWebJobsStorage__accountName"),
        (vec![(TABLE, "https://t.example")], QUEUE, "is not set"),
        (vec![(QUEUE, "http://127.0.0.1:1/a"), (TABLE, "https://t.example")], QUEUE, "sent in the clear"),
        (vec![(QUEUE, "https://q.example?sig=secret"), (TABLE, "https://t.example")], QUEUE, "without a query"),
        (vec![(NAME, "contoso"), (CREDENTIAL, "workloadidentity")], CREDENTIAL, "\"managedidentity\""),
        (
            vec![(NAME, "contoso"), ("AzureWebJobsStorage__clientId", "me")],
            "AzureWebJobsStorage__clientId",
            "not a GUID",
        ),
    ];
    for (set, key, says) in connections.chain(table) {
        let problems = with(set.iter().copied()).expect_err(says).0;
        assert_eq!(problems.len(), 1, "{set:?}: {problems:?}");
        let sentence = &problems[0];
        assert!(sentence.starts_with(key) && sentence.contains(says) && sentence.ends_with('.'), "{set:?}: {sentence}");
        for secret in [KEY, "secret", "pw", "hello"] {
            assert!(!sentence.contains(secret), "{sentence}");
        }
    }
    let problems = with([(CREDENTIAL, "managedidentity")]).unwrap_err().0;
    assert_eq!(problems.len(), 2, "neither service is named: {problems:?}");
}

/// The host's own settings are found as the host finds them; ours are what they are.
#[test]
fn keys_of_the_host_are_found_whatever_their_case() {
    let environment = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let set = environment(&[
        ("AZUREWEBJOBSSTORAGE__ACCOUNTNAME", "upper"),
        ("azurewebjobsstorage:credential", "colon"),
        ("offers", "x"),
    ]);
    assert_eq!(find(&set, "AzureWebJobsStorage__accountName").as_deref(), Some("upper"));
    assert_eq!(find(&set, "AzureWebJobsStorage__credential").as_deref(), Some("colon"));
    assert_eq!(find(&set, "AzureWebJobsStorage"), None);
    assert_eq!(find(&set, "OFFERS"), None);
    let both = environment(&[("AZUREWEBJOBSSTORAGE", "other"), (STORAGE, "exact")]);
    assert_eq!(find(&both, STORAGE).as_deref(), Some("exact"));
}

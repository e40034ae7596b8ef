//! What keeps strangers out of the Azure resources. A template that deploys without it deploys all the same.

use super::bicep::Bicep;
use super::{Kind, root};

/// File, property, value: each must be there once, in so many words.
const GUARDS: [(&str, &str, &str); 22] = [
    ("app", "httpsOnly", "true"),
    ("app", "minTlsVersion", "'1.2'"),
    ("app", "type", "'UserAssigned'"),
    ("app", "AzureWebJobsStorage__credential", "'managedidentity'"),
    ("storage", "allowBlobPublicAccess", "false"),
    ("storage", "allowCrossTenantReplication", "false"),
    ("storage", "allowSharedKeyAccess", "false"),
    ("storage", "defaultToOAuthAuthentication", "true"),
    ("storage", "minimumTlsVersion", "'TLS1_2'"),
    ("storage", "supportsHttpsTrafficOnly", "true"),
    ("storage", "publicAccess", "'None'"),
    ("storage", "publicNetworkAccess", "privateNetwork ? 'Disabled' : 'Enabled'"),
    ("storage", "defaultAction", "privateNetwork ? 'Deny' : 'Allow'"),
    ("vault", "enableRbacAuthorization", "true"),
    ("vault", "enableSoftDelete", "true"),
    ("vault", "enablePurgeProtection", "purgeProtection ? true : null"),
    ("vault", "publicNetworkAccess", "privateNetwork && empty(operatorAddresses) ? 'Disabled' : 'Enabled'"),
    ("vault", "bypass", "'None'"),
    ("vault", "defaultAction", "privateNetwork ? 'Deny' : 'Allow'"),
    ("monitoring", "DisableLocalAuth", "true"),
    ("network", "registrationEnabled", "false"),
    ("app", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "'ClientId=${identityClientId};Authorization=AAD'"),
];

/// What the app itself may do, and what the operator may, beside it: nothing on the whole resource group.
const ROLES: [(&str, &str); 7] = [
    ("blobs", "account"),
    ("queues", "account"),
    ("tables", "account"),
    ("secrets", "vault"),
    ("telemetry", "component"),
    ("operatorSecrets", "vault"),
    ("operatorCertificates", "vault"),
];

fn breaches(files: &[Bicep]) -> Vec<String> {
    let mut breaches = Vec::new();
    let module = |name: &str| files.iter().find(|file| file.path == format!("infra/modules/{name}.bicep"));
    for (name, property, value) in GUARDS {
        let Some(file) = module(name) else {
            breaches.push(format!("there is no module {name}"));
            continue;
        };
        let said = file.properties(None).into_iter().filter(|(key, ..)| *key == property);
        let said: Vec<&str> = said.map(|(_, node, _)| file.text_of(node)).collect();
        if !said.contains(&value) || said.iter().any(|said| property != "type" && *said != value) {
            breaches.push(format!("{name}: {property} is {said:?}, not {value}"));
        }
    }
    let Some(roles) = module("roles") else { return breaches };
    let mut found: Vec<(&str, String)> = Vec::new();
    for resource in roles.declarations().into_iter().filter(|declaration| declaration.kind == Kind::Resource) {
        if resource.detail.starts_with("Microsoft.Authorization/roleAssignments") {
            let properties = roles.properties(resource.value);
            let scope = properties.iter().find(|(key, ..)| *key == "scope").map(|(_, node, _)| roles.text_of(*node));
            found.push((resource.name, scope.unwrap_or("the resource group").to_owned()));
        }
    }
    if found != ROLES.map(|(name, scope)| (name, scope.to_owned())) {
        breaches.push(format!("roles: {found:?}"));
    }
    breaches
}

#[test]
fn what_keeps_strangers_out_is_set() {
    let breaches = breaches(&Bicep::tree(&root()));
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    // Passwords with which somebody else could put another program in our place.
    let app = std::fs::read_to_string(root().join("infra/modules/app.bicep")).unwrap();
    assert_eq!(app.matches("basicPublishingCredentialsPolicies").count(), 2);
    assert_eq!(app.matches("allow: false").count(), 2);
    // Purge protection is a choice, and protects where nobody chose.
    let main = std::fs::read_to_string(root().join("infra/main.bicep")).unwrap();
    assert!(main.contains("param purgeProtection bool = true"));
}

#[test]
fn each_guard_is_missed() {
    for (name, property, value) in GUARDS {
        let mut files = Bicep::tree(&root());
        let path = format!("infra/modules/{name}.bicep");
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        let without = text.replace(&format!("{property}: {value}"), &format!("{property}: 'something else'"));
        assert_ne!(text, without, "{name}: {property}");
        files.retain(|file| file.path != path);
        files.push(Bicep::new(path, without));
        assert!(breaches(&files).iter().any(|breach| breach.contains(property)), "{name}: {property}");
    }
    let mut files = Bicep::tree(&root());
    let path = "infra/modules/roles.bicep";
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    files.retain(|file| file.path != path);
    files.push(Bicep::new(path, text.replacen("  scope: account\n", "", 1)));
    assert!(breaches(&files).iter().any(|breach| breach.contains("the resource group")));
}

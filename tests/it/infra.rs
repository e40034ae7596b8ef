//! What a Bicep compiler and a deployment would find out, and what neither would: that the templates, the program, the
//! scripts and the documents say the same.
//!
//! Each rule is a function from files to breaches, so that it is tried on invented breaches as well as on the tree.

mod alerts;
mod bicep;
mod scripts;
mod secure;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use marketplace_fulfillment::duty::Queue;

use self::bicep::{Bicep, Declaration, Kind, object, visit};

/// Bicep's own functions, as far as they are used here.
const FUNCTIONS: [&str; 25] = [
    "allowed",
    "description",
    "empty",
    "environment",
    "guid",
    "int",
    "join",
    "json",
    "maxLength",
    "maxValue",
    "minLength",
    "minValue",
    "readEnvironmentVariable",
    "replace",
    "resourceGroup",
    "split",
    "string",
    "subscription",
    "subscriptionResourceId",
    "take",
    "tenant",
    "union",
    "uniqueString",
    "format",
    "contains",
];

/// Azure's built-in roles, from Microsoft's list of them. An id is the same in every tenant.
const ROLES: [(&str, &str); 7] = [
    ("Storage Blob Data Owner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    ("Storage Queue Data Contributor", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"),
    ("Storage Table Data Contributor", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),
    ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("Key Vault Secrets Officer", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
    ("Key Vault Certificates Officer", "a4417e6f-fecd-4de8-b567-7b0420556985"),
    ("Monitoring Metrics Publisher", "3913510d-42f4-4e42-8a64-420c390055eb"),
];

/// Settings that the Functions host reads.
const HOST_SETTINGS: [&str; 5] = [
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
];

/// Settings that Flex Consumption refuses, or that `functionAppConfig` has taken the place of.
const REFUSED_SETTINGS: [&str; 5] = [
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_RUN_FROM_PACKAGE",
];

/// Settings that the vault holds, under their name in small letters with dashes.
const SECRET_SETTINGS: [&str; 5] =
    ["COOKIE_KEYS", "HANDOFF_KEYS", "MARKETPLACE_CERTIFICATE", "MARKETPLACE_CLIENT_SECRET", "PUBLISHER_EVENTS_SECRET"];

/// The tables of the store.
const TABLES: [&str; 2] = ["subscriptions", "system"];

type Rule = fn(&[Bicep]) -> Vec<String>;

fn every_file_is_bicep(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let errors = file.syntax_errors().into_iter();
        errors.map(|(line, text)| (line, format!("the parser cannot follow at {text:?}"))).collect()
    })
}

fn every_name_is_declared(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let declared: BTreeSet<&str> = symbols(file).map(|declaration| declaration.name).collect();
        let unknown = file.mentions().into_iter().filter(|mention| {
            if mention.is_function { !FUNCTIONS.contains(&mention.name) } else { !declared.contains(mention.name) }
        });
        unknown.map(|mention| (mention.line, format!("{} is not declared", mention.name))).collect()
    })
}

fn every_declaration_is_used(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let used: BTreeSet<&str> = file.mentions().into_iter().map(|mention| mention.name).collect();
        let idle = symbols(file).filter(|declaration| {
            [Kind::Parameter, Kind::Variable].contains(&declaration.kind) && !used.contains(declaration.name)
        });
        idle.map(|declaration| (declaration.line, format!("{} is never used", declaration.name))).collect()
    })
}

fn modules_get_their_parameters(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let mut found = Vec::new();
        for module in file.declarations().into_iter().filter(|declaration| declaration.kind == Kind::Module) {
            let Some(target) = file.beside(files, module.detail) else {
                found.push((module.line, format!("there is no {}", module.detail)));
                continue;
            };
            let object = module.value.and_then(|value| object(value));
            let properties = object.map(|object| file.own_properties(object)).unwrap_or_default();
            let passed = properties.into_iter().find(|(key, ..)| *key == "params");
            let passed = passed.map(|(_, params, _)| file.own_properties(params)).unwrap_or_default();
            let passed = passed.into_iter().map(|(key, _, line)| (key, line)).collect();
            found.extend(parameter_breaches(module.line, target, &passed));
        }
        found
    })
}

fn parameter_files_set_what_is_needed(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        if !file.is_parameter_file() {
            return Vec::new();
        }
        let Some(target) = file.using().and_then(|path| file.beside(files, path)) else {
            return vec![(1, "it is for no file".to_owned())];
        };
        let set = file.declarations().into_iter().map(|assignment| (assignment.name, assignment.line)).collect();
        parameter_breaches(1, target, &set)
    })
}

/// What is wrong with the parameters that `target` gets; `line` is where it gets them.
fn parameter_breaches(line: usize, target: &Bicep, given: &BTreeMap<&str, usize>) -> Vec<(usize, String)> {
    let wanted = target.declarations().into_iter().filter(|declaration| declaration.kind == Kind::Parameter);
    let wanted: BTreeMap<&str, bool> = wanted.map(|parameter| (parameter.name, parameter.is_required)).collect();
    let unknown = given.iter().filter(|(name, _)| !wanted.contains_key(*name));
    let unknown = unknown.map(|(name, line)| (*line, format!("{} takes no {name}", target.path)));
    let missing = wanted.iter().filter(|(name, is_required)| **is_required && !given.contains_key(*name));
    let missing = missing.map(|(name, _)| (line, format!("{} needs {name}", target.path)));
    unknown.chain(missing).collect()
}

fn every_output_exists(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let modules: BTreeMap<&str, &str> = symbols(file)
            .filter(|declaration| declaration.kind == Kind::Module)
            .map(|module| (module.name, module.detail))
            .collect();
        let missing = file.outputs_used().into_iter().filter(|(module, output, _)| {
            let target = modules.get(module).and_then(|path| file.beside(files, path));
            let outputs = target.map(Bicep::declarations).unwrap_or_default().into_iter();
            !outputs.filter(|declaration| declaration.kind == Kind::Output).any(|declared| declared.name == *output)
        });
        missing.map(|(module, output, line)| (line, format!("{module} has no output {output}"))).collect()
    })
}

fn versions_are_stable_and_agree(files: &[Bicep]) -> Vec<String> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for file in files {
        for resource in file.declarations().into_iter().filter(|declaration| declaration.kind == Kind::Resource) {
            let (kind, version) = resource.detail.split_once('@').unwrap_or((resource.detail, ""));
            let is_stable = version.len() == "2024-01-01".len();
            // A parent and its children are one resource to Azure.
            let parent = kind.split('/').take(2).collect::<Vec<_>>().join("/");
            let agreed = first.entry(parent).or_insert_with(|| version.to_owned());
            if !is_stable || agreed != version {
                found.push(format!(
                    "{}:{}: {} is not stable, or not {agreed}",
                    file.path, resource.line, resource.detail
                ));
            }
        }
    }
    found
}

fn roles_are_what_they_are_called(files: &[Bicep]) -> Vec<String> {
    breaches(files, |file| {
        let mut found = Vec::new();
        for (key, value, line) in file.properties(None) {
            let Some(id) = file.literal(value).filter(|text| is_guid(text)) else { continue };
            let role = ROLES.iter().find(|(_, known)| *known == id).map(|(role, _)| camel_case(role));
            if role.as_deref() != Some(key) {
                found
                    .push((line, format!("{key} is the id of {}", role.as_deref().unwrap_or("no role that is known"))));
            }
        }
        for resource in symbols(file).filter(|declaration| declaration.detail.starts_with(ROLE_ASSIGNMENT)) {
            found.extend(assignment_breach(file, &resource).map(|breach| (resource.line, breach)));
        }
        found
    })
}

const ROLE_ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments@";

/// An assignment names one role, in its own name too, on one resource, and says why it is needed.
fn assignment_breach(file: &Bicep, resource: &Declaration<'_>) -> Option<String> {
    let object = resource.value.and_then(|value| object(value))?;
    let mut roles = Vec::new();
    visit(object, &mut |node| {
        if let Some(role) = file.text_of(node).strip_prefix("roleIds.").filter(|_| node.kind() == "member_expression") {
            roles.push(role);
        }
    });
    let properties = file.properties(Some(object));
    let has = |wanted: &str| properties.iter().any(|(key, ..)| *key == wanted);
    let why = properties.iter().find(|(key, ..)| *key == "description").and_then(|(_, why, _)| file.literal(*why));
    if roles.len() != 2 || roles[0] != roles[1] {
        Some(format!("{} names the roles {roles:?}, and not one twice", resource.name))
    } else if !has("scope") || !has("principalType") {
        Some(format!("{} lacks a scope or a principalType", resource.name))
    } else if why.is_none_or(|why| why.split(' ').count() < 5) {
        Some(format!("{} does not say why", resource.name))
    } else {
        None
    }
}

fn every_setting_is_known(files: &[Bicep]) -> Vec<String> {
    let explained = explained_settings();
    breaches(files, |file| {
        let settings = app_settings(file).into_iter().filter_map(|(key, line)| {
            if REFUSED_SETTINGS.contains(&key) {
                Some((line, format!("{key} has no place on Flex Consumption")))
            } else if SECRET_SETTINGS.contains(&key) {
                Some((line, format!("{key} belongs into the vault")))
            } else if explained.contains(key) || HOST_SETTINGS.contains(&key) {
                None
            } else {
                Some((line, format!("{key} is not explained in docs/settings.md")))
            }
        });
        settings.collect()
    })
}

fn every_needed_setting_is_set(files: &[Bicep]) -> Vec<String> {
    let set: BTreeSet<&str> = files.iter().flat_map(app_settings).map(|(key, _)| key).collect();
    let scripts = [read("infra/register"), read("infra/secrets")].concat();
    let is_in_vault = |key: &str| {
        let name = key.to_lowercase().replace('_', "-");
        set.contains("KEY_VAULT_URL") && SECRET_SETTINGS.contains(&key) && scripts.contains(&name)
    };
    let needed = needed_settings().into_iter().filter(|key| !set.contains(key.as_str()) && !is_in_vault(key));
    needed.map(|key| format!("infra: {key} is always needed, and neither set nor made for the vault")).collect()
}

fn queues_and_tables_are_the_programs(files: &[Bicep]) -> Vec<String> {
    let poisoned = |queue: Queue| format!("{}-poison", queue.name());
    let queues = Queue::ALL.map(|queue| queue.name().to_owned()).into_iter().chain(Queue::ALL.map(poisoned)).collect();
    let tables = TABLES.map(str::to_owned).into();
    let kinds: [(&str, BTreeSet<String>); 2] = [
        ("Microsoft.Storage/storageAccounts/queueServices/queues@", queues),
        ("Microsoft.Storage/storageAccounts/tableServices/tables@", tables),
    ];
    let mut found = Vec::new();
    for (kind, wanted) in kinds {
        let made: BTreeSet<String> = files.iter().flat_map(|file| names_of(file, kind)).collect();
        if made != wanted {
            found.push(format!("infra: {kind} are {made:?}, and the program has {wanted:?}"));
        }
    }
    found
}

/// The names of the resources of a kind; those of a loop over a variable are written out.
fn names_of(file: &Bicep, kind: &str) -> Vec<String> {
    let variables: BTreeMap<&str, Vec<&str>> =
        symbols(file).filter_map(|declaration| Some((declaration.name, file.literals(declaration.value?)))).collect();
    let resources = symbols(file).filter(|declaration| declaration.detail.starts_with(kind));
    let names = resources.flat_map(|resource| {
        let value = resource.value.expect("a resource is made of something");
        let name = file.own_properties(object(value).expect("an object")).into_iter();
        let name =
            name.filter(|(key, ..)| *key == "name").map(|(_, name, _)| name).next().expect("a resource has a name");
        let name = file.text_of(name).trim_matches('\'');
        let loops = value.child_by_field_name("initializer").filter(|_| value.kind() == "for_statement");
        let Some(variable) = loops else { return vec![name.to_owned()] };
        let over = variable.next_named_sibling().map_or("", |over| file.text_of(over));
        let variable = file.text_of(variable);
        let items = variables.get(over).cloned().unwrap_or_default().into_iter();
        items.map(|item| name.replace(&format!("${{{variable}}}"), item).replace(variable, item)).collect()
    });
    names.collect()
}

/// Every property whose key is an environment variable, with its line.
fn app_settings(file: &Bicep) -> Vec<(&str, usize)> {
    let properties = file.properties(None).into_iter().map(|(key, _, line)| (key, line));
    let is_setting = |key: &str| {
        let is_loud =
            key.len() > 3 && key.chars().all(|letter| letter.is_ascii_uppercase() || "_0123456789".contains(letter));
        is_loud || key.starts_with("AzureWebJobs")
    };
    properties.filter(|(key, _)| is_setting(key)).collect()
}

fn symbols(file: &Bicep) -> impl Iterator<Item = Declaration<'_>> {
    let declarations = file.declarations().into_iter();
    declarations.filter(|declaration| ![Kind::Output, Kind::Assignment].contains(&declaration.kind))
}

fn explained_settings() -> BTreeSet<String> {
    let document = read("docs/settings.md");
    let headings = document.lines().filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned()));
    headings.collect()
}

/// What docs/settings.md calls always needed: the names in its sentence that begins so.
fn needed_settings() -> BTreeSet<String> {
    let document = read("docs/settings.md").replace('\n', " ");
    let (_, sentence) = document.split_once("Always needed:").expect("docs/settings.md says what is always needed");
    let (sentence, _) = sentence.split_once(". ").expect("a sentence ends");
    sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit())
}

fn camel_case(role: &str) -> String {
    let (first, rest) = role.split_once(' ').expect("a role has several words");
    format!("{}{}", first.to_lowercase(), rest.replace(' ', ""))
}

fn breaches(files: &[Bicep], judge: impl Fn(&Bicep) -> Vec<(usize, String)>) -> Vec<String> {
    let judge = &judge;
    let breaches = files
        .iter()
        .flat_map(|file| judge(file).into_iter().map(move |(line, breach)| format!("{}:{line}: {breach}", file.path)));
    breaches.collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn hold(rules: &[Rule]) {
    let files = Bicep::tree(&root());
    assert!(files.len() > 5, "infra/ is read");
    let breaches: Vec<String> = rules.iter().flat_map(|rule| rule(&files)).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn every_file_parses_and_every_name_leads_somewhere() {
    hold(&[every_file_is_bicep, every_name_is_declared, every_declaration_is_used]);
}

#[test]
fn modules_and_parameter_files_fit() {
    hold(&[modules_get_their_parameters, parameter_files_set_what_is_needed, every_output_exists]);
}

#[test]
fn resources_are_of_stable_versions_and_roles_of_the_right_kind() {
    hold(&[versions_are_stable_and_agree, roles_are_what_they_are_called]);
}

#[test]
fn the_settings_are_those_that_the_program_reads() {
    hold(&[every_setting_is_known, every_needed_setting_is_set]);
}

#[test]
fn the_queues_and_tables_are_those_that_the_program_uses() {
    hold(&[queues_and_tables_are_the_programs]);
}

const MODULE: (&str, &str) = (
    "infra/modules/m.bicep",
    "param a string\nparam b int = 1\nresource r 'X/y@2024-01-01' = { name: a, size: b }\noutput id string = r.id",
);

#[test]
fn each_rule_sees_its_breach() {
    let setting = |key: &str| format!("resource s 'Microsoft.Web/sites/config@2024-04-01' = {{\n  {key}: 'x'\n}}");
    let [refused, secret, unknown] = ["WEBSITE_RUN_FROM_PACKAGE", "COOKIE_KEYS", "MARKETPLACE_SIZE"].map(setting);
    let assignment = |name: &str, role: &str, rest: &str| {
        format!(
            "resource r '{ROLE_ASSIGNMENT}2022-04-01' = {{\n  name: guid(roleIds.{name})\n  scope: account\n  \
             properties: {{\n    roleDefinitionId: roleIds.{role}\n    {rest}\n  }}\n}}"
        )
    };
    let full = "principalType: 'ServicePrincipal'\n    description: 'One two three four five'";
    let two_roles = assignment("storageBlobDataOwner", "keyVaultSecretsUser", full);
    let no_reason = assignment("keyVaultSecretsUser", "keyVaultSecretsUser", "principalType: 'User'");
    let no_type = assignment("keyVaultSecretsUser", "keyVaultSecretsUser", "description: 'One two three four five'");
    let module = |params: &str| format!("module m 'modules/m.bicep' = {{\n  params: {{\n    {params}\n  }}\n}}");
    let (extra, lacking) = (module("a: 'x'\n    c: 1"), module("b: 1"));
    let main = "infra/main.bicep";
    let table: Vec<(Rule, &str, &str, usize)> = vec![
        (every_file_is_bicep, main, "param a string =\nvar b = 1", 2),
        (every_file_is_bicep, main, "var a = {\n  b: 1\n", 2),
        (every_file_is_bicep, "infra/a.bicepparam", "using 'main.bicep'\nparam a string = 'x'", 2),
        (every_name_is_declared, main, "var a = '${b}'", 1),
        (every_name_is_declared, main, "var a = 1\n\nvar c = [for b in a: {\n  name: d\n}]", 4),
        (every_name_is_declared, main, "var a = [1]\nvar b = [for c in a: c]\nvar d = c", 3),
        (every_name_is_declared, main, "var a = map([1], b => b)\n", 1),
        (every_name_is_declared, main, "var a = b.c.d", 1),
        (every_name_is_declared, main, "output a string = a", 1),
        (every_name_is_declared, main, "resource a 'X/y@2024-01-01' = {\n  parent: b\n}", 2),
        (every_name_is_declared, "infra/a.bicepparam", "using 'main.bicep'\nparam a = readEnvironment('X')", 2),
        (every_declaration_is_used, main, "param a string\nvar b = { a: 1 }\noutput c object = b", 1),
        (every_declaration_is_used, main, "\nvar a = 1", 2),
        (modules_get_their_parameters, main, "module m 'modules/n.bicep' = {\n}", 1),
        (modules_get_their_parameters, main, &extra, 4),
        (modules_get_their_parameters, main, &lacking, 1),
        (modules_get_their_parameters, main, "\nmodule m 'modules/m.bicep' = if (x) {\n  name: 'm'\n}", 2),
        (parameter_files_set_what_is_needed, "infra/a.bicepparam", "using 'main.bicep'\n", 1),
        (parameter_files_set_what_is_needed, "infra/a.bicepparam", "using 'modules/m.bicep'\n", 1),
        (
            parameter_files_set_what_is_needed,
            "infra/a.bicepparam",
            "using 'modules/m.bicep'\nparam a = 1\nparam c = 1",
            3,
        ),
        (every_output_exists, main, "module m 'modules/m.bicep' = {}\nvar a = m.outputs.size", 2),
        (every_output_exists, main, "module m 'modules/m.bicep' = {}\nvar a = x ? m!.outputs.ids : ''", 2),
        (every_output_exists, main, "var a = n.outputs.id", 1),
        (versions_are_stable_and_agree, main, "resource r 'Y/z@2024-01-01-preview' = {}", 1),
        (versions_are_stable_and_agree, main, "resource r 'X/y/z@2023-01-01' = {}", 1),
        (roles_are_what_they_are_called, main, "var a = {\n  owner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'\n}", 2),
        (
            roles_are_what_they_are_called,
            main,
            "var a = { keyVaultSecretsUser: '00000000-0000-0000-0000-000000000000' }",
            1,
        ),
        (roles_are_what_they_are_called, main, &two_roles, 1),
        (roles_are_what_they_are_called, main, &no_reason, 1),
        (roles_are_what_they_are_called, main, &no_type, 1),
        (every_setting_is_known, main, &refused, 2),
        (every_setting_is_known, main, &secret, 2),
        (every_setting_is_known, main, &unknown, 2),
    ];
    for (rule, path, text, line) in table {
        // In this order, so that the module's version of a resource is the one to agree with.
        let files = [Bicep::new(MODULE.0, MODULE.1), Bicep::new(path, text)];
        let found = rule(&files);
        let place = format!("{path}:{line}: ");
        assert!(found.len() == 1 && found[0].starts_with(&place), "{place}{text:?} gives {found:?}");
    }
}

#[test]
fn what_is_missing_is_a_breach_as_well() {
    let needed = every_needed_setting_is_set(&[]);
    assert_eq!(needed.len(), needed_settings().len(), "{needed:?}");
    let vault = Bicep::new("infra/main.bicep", "var a = { KEY_VAULT_URL: 'x', OFFERS: 'y' }");
    let left = every_needed_setting_is_set(&[vault]).join("\n");
    assert!(left.contains("PUBLISHER_NAME") && !left.contains("OFFERS") && !left.contains("COOKIE_KEYS"), "{left}");

    let queues = |names: &str, template: &str| {
        let kind = "Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01";
        Bicep::new("a", format!("var q = {names}\nresource r '{kind}' = [for x in q: {{\n  name: {template}\n}}]"))
    };
    let names = "['activations', 'acknowledgements', 'changes', 'notifications']";
    let table = [
        (vec![queues(names, "x")], "without the poison queues"),
        (vec![queues(names, "x"), queues(names, "'${x}-poisoned'")], "with others"),
        (vec![queues("['activations']", "x"), queues(names, "'${x}-poison'")], "without three"),
    ];
    for (files, what) in table {
        assert_eq!(queues_and_tables_are_the_programs(&files).len(), 2, "{what}");
    }
    let files = [queues(names, "x"), queues(names, "'${x}-poison'")];
    assert_eq!(queues_and_tables_are_the_programs(&files).len(), 1, "only the tables");
}

#[test]
fn no_rule_sees_a_breach_where_there_is_none() {
    let innocent = [
        "var a = [1]\nvar b = [for (c, i) in a: '${c}${i}']\noutput d array = b",
        "@description('x')\nparam type string\noutput o object = { type: type, 'a-b': { kind: 1 } }",
        "module m 'modules/m.bicep' = {\n  params: {\n    a: 'x'\n  }\n}\noutput o string = m!.outputs.id",
        "var a = '''\nit's ${nothing}\n'''\noutput o string = a",
    ];
    let rules: [Rule; 8] = [
        every_file_is_bicep,
        every_name_is_declared,
        every_declaration_is_used,
        modules_get_their_parameters,
        every_output_exists,
        versions_are_stable_and_agree,
        roles_are_what_they_are_called,
        every_setting_is_known,
    ];
    for text in innocent {
        let files = [Bicep::new(MODULE.0, MODULE.1), Bicep::new("infra/main.bicep", text)];
        let found: Vec<String> = rules.iter().flat_map(|rule| rule(&files)).collect();
        assert!(found.is_empty(), "{text:?} gives {found:?}");
    }
    let files = [
        Bicep::new(MODULE.0, MODULE.1),
        Bicep::new("infra/a.bicepparam", "using 'modules/m.bicep'\n\nparam a = split('x', ',')\nparam b = 2"),
    ];
    assert_eq!(parameter_files_set_what_is_needed(&files), Vec::<String>::new());
    assert_eq!(every_file_is_bicep(&files), Vec::<String>::new());
}

/// Who reads README.md asks of no parameter and no alert what it means.
#[test]
fn every_parameter_and_every_alert_is_explained() {
    let files = Bicep::tree(&root());
    let main = files.iter().find(|file| file.path == "infra/main.bicep").expect("the main template");
    let names = symbols(main).filter(|declaration| declaration.kind == Kind::Parameter);
    let names = names.map(|parameter| parameter.name.to_owned()).chain(alerts::names(&files));
    let document = read("infra/README.md");
    let missing: Vec<String> = names.filter(|name| !document.contains(&format!("| `{name}` | "))).collect();
    assert!(missing.is_empty(), "infra/README.md has no row for {missing:?}");
}

/// azd finds the app by its tag, and takes the package that infra/package stages.
#[test]
fn azd_deploys_what_is_packaged_to_the_app_that_is_made() {
    let (azd, app) = (read("azure.yaml"), read("infra/modules/app.bicep"));
    assert!(app.contains("'azd-service-name': 'fulfillment'") && azd.contains("\n  fulfillment:\n"), "{azd}");
    for line in
        ["    dist: dist\n", "        run: bash infra/package\n", "    host: function\n", "    language: custom\n"]
    {
        assert!(azd.contains(line), "azure.yaml lacks {line:?}");
    }
}

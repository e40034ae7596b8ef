//! The workflows that build, release and deploy. They run elsewhere, so what can be known of them here is held here;
//! `tests/run` holds them to GitHub's own rules as well.
//!
//! Each rule is a function from a workflow to its breaches, so that it is tried on invented breaches as well.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

/// Folders whose files a script may name.
const FOLDERS: [&str; 7] = [".ci/", "benches/", "docs/", "functions/", "infra/", "src/", "tests/"];

/// What a job may be allowed beyond reading, and why.
const PERMISSIONS: [(&str, &str); 3] = [
    ("contents", "a release is written"),
    ("id-token", "GitHub vouches for the run: to Entra, and for where a release was built"),
    ("attestations", "where a release was built is kept"),
];

/// The longest that a job may be allowed, in minutes: GitHub's own limit is six hours of somebody's money.
const TIMEOUT_MAX: i64 = 60;

type Rule = fn(&Yaml) -> Vec<String>;

const RULES: [Rule; 6] = [
    scripts_name_files_that_exist,
    actions_have_a_version,
    permissions_are_few,
    jobs_end,
    scripts_take_no_words_from_strangers,
    the_toolchain_is_the_packages,
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn jobs(workflow: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    let jobs = workflow["jobs"].as_hash().into_iter().flatten();
    jobs.map(|(name, job)| (name.as_str().unwrap_or_default(), job))
}

/// Every step, with its job's name.
fn steps(workflow: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    jobs(workflow).flat_map(|(name, job)| job["steps"].as_vec().into_iter().flatten().map(move |step| (name, step)))
}

fn scripts(workflow: &Yaml) -> impl Iterator<Item = (&str, &str)> {
    steps(workflow).filter_map(|(job, step)| Some((job, step["run"].as_str()?)))
}

/// `infra/$ENVIRONMENT.bicepparam` stands for a file for each environment that the workflow offers.
fn names(workflow: &Yaml, word: &str) -> Vec<String> {
    let offered = workflow["on"]["workflow_dispatch"]["inputs"]["environment"]["options"].as_vec();
    let offered = offered.into_iter().flatten().filter_map(Yaml::as_str);
    if word.contains("$ENVIRONMENT") {
        return offered.map(|environment| word.replace("$ENVIRONMENT", environment)).collect();
    }
    vec![word.to_owned()]
}

fn scripts_name_files_that_exist(workflow: &Yaml) -> Vec<String> {
    let mut breaches = Vec::new();
    for (job, script) in scripts(workflow) {
        for line in script.lines() {
            let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || "\"';()".contains(c)).collect();
            let named = words.iter().filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
            for name in named.flat_map(|word| names(workflow, word)) {
                let path = root().join(&name);
                let first = words.iter().find(|word| !word.is_empty()).is_some_and(|word| *word == name);
                let mode = path.metadata().map(|metadata| metadata.permissions().mode());
                match mode {
                    Err(_) => breaches.push(format!("{job} names {name}, which is not there")),
                    Ok(mode) if first && mode & 0o111 == 0 => {
                        breaches.push(format!("{job} runs {name}, which is not executable"));
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    breaches
}

/// A major version, which its owner keeps compatible, or one commit. A branch is whatever somebody pushed last.
fn actions_have_a_version(workflow: &Yaml) -> Vec<String> {
    let used = steps(workflow).filter_map(|(job, step)| Some((job, step["uses"].as_str()?)));
    let loose = used.filter(|(_, action)| {
        let version = action.split_once('@').map_or("", |(_, version)| version);
        let number = version.strip_prefix('v').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
        let commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        !(number || commit)
    });
    loose.map(|(job, action)| format!("{job} uses {action} without a version")).collect()
}

fn permissions_are_few(workflow: &Yaml) -> Vec<String> {
    let mut breaches = Vec::new();
    if workflow["permissions"].is_badvalue() {
        breaches.push("the workflow does not say what it may".to_owned());
    }
    let everywhere = std::iter::once(("every job", workflow)).chain(jobs(workflow));
    for (place, holder) in everywhere {
        if let Some(all) = holder["permissions"].as_str() {
            breaches.push(format!("{place} may {all}"));
        }
        for (scope, access) in holder["permissions"].as_hash().into_iter().flatten() {
            let (scope, access) = (scope.as_str().unwrap_or_default(), access.as_str().unwrap_or_default());
            let expected = PERMISSIONS.iter().any(|(name, _)| *name == scope) && place != "every job";
            if access != "read" && !expected {
                breaches.push(format!("{place} may {access} {scope}"));
            }
        }
    }
    breaches
}

fn jobs_end(workflow: &Yaml) -> Vec<String> {
    let endless = jobs(workflow).filter(|(_, job)| job["timeout-minutes"].as_i64().is_none_or(|m| m > TIMEOUT_MAX));
    endless.map(|(name, _)| format!("{name} has no timeout of at most {TIMEOUT_MAX} minutes")).collect()
}

/// GitHub pastes an expression into a script before the shell reads it: a branch's name could be a command. Through `env`
/// it is a value.
fn scripts_take_no_words_from_strangers(workflow: &Yaml) -> Vec<String> {
    let pasted = scripts(workflow).filter(|(_, script)| script.contains("${{"));
    pasted.map(|(job, script)| format!("{job} pastes an expression into: {script}")).collect()
}

fn the_toolchain_is_the_packages(workflow: &Yaml) -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let mut breaches = Vec::new();
    let holders = std::iter::once(("the workflow", workflow)).chain(jobs(workflow));
    for (place, holder) in holders {
        let stated = holder["env"]["RUST"].as_str().filter(|stated| *stated != version);
        breaches
            .extend(stated.map(|stated| format!("{place} builds with Rust {stated}, and the package with {version}")));
        let image =
            holder["container"]["image"].as_str().filter(|image| !image.starts_with(&format!("rust:{version}-")));
        breaches.extend(image.map(|image| format!("{place} runs in {image}, and the package needs Rust {version}")));
    }
    breaches
}

fn parse(text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[test]
fn the_workflows_keep_the_rules() {
    let folder = root().join(".github/workflows");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let workflow = parse(&std::fs::read_to_string(&path).unwrap());
        assert!(scripts(&workflow).count() > 3, "{} is not read as a workflow", path.display());
        let breaches: Vec<String> = RULES.iter().flat_map(|rule| rule(&workflow)).collect();
        assert!(breaches.is_empty(), "{}:\n{}", path.display(), breaches.join("\n"));
        found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    found.sort();
    assert_eq!(found, ["ci.yml", "deploy.yml"]);
}

/// `az` reads the parameter files on the runner, which has nothing in its environment but what the workflow gives.
#[test]
fn the_deployment_has_every_value_that_a_parameter_file_reads() {
    let text = std::fs::read_to_string(root().join(".github/workflows/deploy.yml")).unwrap();
    for file in names(&parse(&text), "infra/$ENVIRONMENT.bicepparam") {
        let parameters = std::fs::read_to_string(root().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut read = parameters.split("readEnvironmentVariable('").skip(1).peekable();
        assert!(read.peek().is_some(), "{file} reads nothing: this test looks for the wrong words");
        for name in read.filter_map(|rest| rest.split('\'').next()) {
            let given = format!("{name}: ${{{{ vars.{name} }}}}");
            assert!(text.contains(&given), "{file} reads {name}, which deploy.yml does not give");
        }
    }
}

/// Whoever gets in with a password can lose it.
#[test]
fn no_secret_is_needed() {
    for name in ["ci.yml", "deploy.yml"] {
        let text = std::fs::read_to_string(root().join(".github/workflows").join(name)).unwrap();
        assert!(!text.contains("secrets."), "{name} uses a secret");
    }
}

#[test]
fn each_rule_sees_its_breach() {
    let job = |job: &str| format!("on: push\npermissions: {{}}\njobs:\n  it:\n    timeout-minutes: 5\n{job}");
    let step = |step: &str| job(&format!("    steps:\n      - {step}\n"));
    let innocent = [
        step("run: infra/package --output package"),
        step("run: cat docs/settings.md | grep src/"),
        step("uses: actions/checkout@v6"),
        step("uses: a/b@0123456789abcdef0123456789abcdef01234567"),
        job(
            "    permissions: {contents: write}\n    env: {RUST: \"1.95\"}\n    container: {image: rust:1.95-bookworm}\n",
        ),
    ];
    for text in innocent {
        let breaches: Vec<String> = RULES.iter().flat_map(|rule| rule(&parse(&text))).collect();
        assert_eq!(breaches, [""; 0], "{text}");
    }
    let environments = "on: {workflow_dispatch: {inputs: {environment: {options: [test]}}}}\npermissions: {}\njobs:\n  \
                        it: {timeout-minutes: 5, steps: [{run: cat infra/$ENVIRONMENT.nothing}]}\n";
    let guilty: [(Rule, String, &str); 14] = [
        (scripts_name_files_that_exist, step("run: infra/packages"), "it names infra/packages"),
        (scripts_name_files_that_exist, step("run: bash \"tests/runs\" --quick"), "it names tests/runs"),
        (scripts_name_files_that_exist, step("run: src/main.rs"), "it runs src/main.rs, which is not executable"),
        (scripts_name_files_that_exist, environments.to_owned(), "it names infra/test.nothing"),
        (actions_have_a_version, step("uses: actions/checkout@main"), "it uses actions/checkout@main"),
        (actions_have_a_version, step("uses: actions/checkout"), "it uses actions/checkout without"),
        (permissions_are_few, "jobs: {}".to_owned(), "the workflow does not say"),
        (permissions_are_few, "permissions: write-all".to_owned(), "every job may write-all"),
        (permissions_are_few, "permissions: {contents: write}".to_owned(), "every job may write contents"),
        (permissions_are_few, job("    permissions: {packages: write}"), "it may write packages"),
        (jobs_end, "jobs: {it: {}}".to_owned(), "it has no timeout"),
        (jobs_end, "jobs: {it: {timeout-minutes: 360}}".to_owned(), "it has no timeout of at most 60"),
        (scripts_take_no_words_from_strangers, step("run: echo ${{ github.head_ref }}"), "it pastes"),
        (the_toolchain_is_the_packages, job("    env: {RUST: \"1.94\"}\n"), "it builds with Rust 1.94"),
    ];
    for (rule, text, says) in guilty {
        let found = rule(&parse(&text));
        assert!(found.iter().any(|breach| breach.starts_with(says)), "{text}\ngives {found:?}");
    }
}

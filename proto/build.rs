//! Compiles the .proto files with protox (no protoc needed) and derives from the descriptors
//! everything that is the same for every message and every RPC: the prost types, the method
//! catalogue, and the macro that the server's 236 handlers are expanded from.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

const PACKAGE: &str = "mattermost.pluginapi.v1";
const ROOT: &str = "proto";
const METHODS: &str = "methods.tsv";
const SECRETS: &str = "secrets.tsv";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={ROOT}");
    println!("cargo::rerun-if-changed={METHODS}");
    println!("cargo::rerun-if-changed={SECRETS}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(proto_files(Path::new(ROOT))?)?;
    let with_comments = compiler.file_descriptor_set();

    let secrets = secrets()?;
    types(&with_comments, &secrets, &out)?;
    fs::write(out.join("catalogue.rs"), catalogue(&with_comments)?)?;
    fs::write(out.join("secrets.rs"), redacted(&with_comments, secrets)?)?;
    fs::write(out.join("descriptors.bin"), without_comments(with_comments).encode_to_vec())?;
    Ok(())
}

/// Every .proto file below `dir`, relative to [`ROOT`], in a stable order.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "proto") {
            found.push(path.strip_prefix(ROOT)?.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

fn without_comments(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// The prost types: maps sorted (so that encoding is deterministic), bytes without copies, every
/// message linked to its descriptor, and no `Debug` where [`redacted`] writes one.
fn types(set: &FileDescriptorSet, secrets: &Secrets, out: &Path) -> Result<()> {
    let mut config = prost_build::Config::new();
    config.out_dir(out).btree_map(["."]).bytes(["."]).enable_type_names();
    config.skip_debug(secrets.keys().map(|message| format!(".{PACKAGE}.{message}")));
    for name in message_names(set) {
        config.message_attribute(
            format!(".{name}"),
            format!(
                "#[derive(::prost_reflect::ReflectMessage)]\n\
                 #[prost_reflect(descriptor_pool = \"crate::DESCRIPTORS\", message_name = \"{name}\")]"
            ),
        );
    }
    let mut own = set.clone();
    // A service would ask for a service generator; ours are expanded from the catalogue.
    for file in &mut own.file {
        file.service.clear();
    }
    config.compile_fds(own)?;
    Ok(())
}

fn message_names(set: &FileDescriptorSet) -> Vec<String> {
    fn walk(prefix: &str, message: &DescriptorProto, names: &mut Vec<String>) {
        let name = format!("{prefix}.{}", message.name());
        if !message.options.as_ref().is_some_and(|options| options.map_entry()) {
            for nested in &message.nested_type {
                walk(&name, nested, names);
            }
            names.push(name);
        }
    }
    let mut names = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for message in &file.message_type {
            walk(file.package(), message, &mut names);
        }
    }
    names.sort();
    names
}

/// The secret fields of each message that has some.
type Secrets = BTreeMap<String, BTreeSet<String>>;

fn secrets() -> Result<Secrets> {
    let mut secrets = Secrets::new();
    let text = fs::read_to_string(SECRETS)?;
    let lines = text.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')).skip(1) {
        let place = || format!("{SECRETS}:{}", number + 1);
        let [message, field] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{}: a row has two columns, parted by a tab", place()).into());
        };
        if !secrets.entry(message.to_owned()).or_default().insert(field.to_owned()) {
            return Err(format!("{}: {message}.{field} stands twice", place()).into());
        }
    }
    Ok(secrets)
}

/// `SECRET_FIELDS`, and for each message with secrets a `Debug` that leaves them out.
fn redacted(set: &FileDescriptorSet, mut secrets: Secrets) -> Result<String> {
    let (mut names, mut impls) = (Vec::new(), String::new());
    let ours = set.file.iter().filter(|file| file.package() == PACKAGE);
    for message in ours.flat_map(|file| &file.message_type) {
        let Some(mut secret) = secrets.remove(message.name()) else { continue };
        let mut fields = String::new();
        for field in &message.field {
            if field.oneof_index.is_some() && !field.proto3_optional() {
                return Err(format!("{SECRETS}: {} has a oneof", message.name()).into());
            }
            let name = field.name();
            let member = match name.to_snake_case().as_str() {
                keyword @ ("type" | "where" | "enum" | "ref") => format!("r#{keyword}"),
                member => member.to_owned(),
            };
            if secret.remove(name) {
                names.push(format!("{PACKAGE}.{}.{name}", message.name()));
                write!(fields, ".field({name:?}, &Redacted)")?;
            } else {
                write!(fields, ".field({name:?}, &self.{member})")?;
            }
        }
        if let Some(field) = secret.pop_first() {
            return Err(format!("{SECRETS}: {} has no field {field}", message.name()).into());
        }
        let (name, rust) = (message.name(), type_name(message.name()));
        writeln!(
            impls,
            "impl fmt::Debug for v1::{rust} {{\n\
             fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{\n\
             f.debug_struct({name:?}){fields}.finish()\n}}\n}}"
        )?;
    }
    if let Some((message, _)) = secrets.pop_first() {
        return Err(format!("{SECRETS}: {message} is no message of the contract").into());
    }
    names.sort();
    Ok(format!(
        "/// The full names of all secret fields, sorted.\n\
         pub static SECRET_FIELDS: &[&str] = &{names:?};\n{impls}"
    ))
}

/// One row of `methods.tsv`.
struct Row {
    group: String,
    channel: &'static str,
}

fn rows() -> Result<BTreeMap<(String, String), Row>> {
    let mut rows = BTreeMap::new();
    let text = fs::read_to_string(METHODS)?;
    let lines = text.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')).skip(1) {
        let place = || format!("{METHODS}:{}", number + 1);
        let [service, rpc, group, channel] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{}: a row has four columns, parted by tabs", place()).into());
        };
        let channel = match channel {
            "status" => "Status",
            "embedded" => "Embedded",
            "none" => "None",
            "mixed" => "Mixed",
            other => return Err(format!("{}: unknown error channel {other:?}", place()).into()),
        };
        let row = Row { group: group.to_owned(), channel };
        if rows.insert((service.to_owned(), rpc.to_owned()), row).is_some() {
            return Err(format!("{}: {service}/{rpc} stands twice", place()).into());
        }
    }
    Ok(rows)
}

/// `METHODS`, `MESSAGES` and the macros that hand each RPC of a service to a callback macro.
fn catalogue(set: &FileDescriptorSet) -> Result<String> {
    let mut rows = rows()?;
    let mut methods = String::new();
    let mut macros = String::new();
    let mut index = 0;
    let services = set.file.iter().flat_map(|file| {
        let services = file.service.iter().enumerate();
        services.map(move |(at, service)| (file, at, service))
    });
    for (file, at, service) in services {
        let mut expansion = String::new();
        for (number, method) in service.method.iter().enumerate() {
            let key = (service.name().to_owned(), method.name().to_owned());
            let row = rows.remove(&key).ok_or_else(|| {
                format!("{METHODS}: no row for {}/{}", service.name(), method.name())
            })?;
            let doc = comment(file, &[6, at as i32, 2, number as i32]);
            writeln!(
                methods,
                "Method {{ index: {index}, service: Service::{}, name: {:?}, path: {:?}, group: {:?}, \
                 request: {:?}, response: {:?}, client_streaming: {}, server_streaming: {}, \
                 error_channel: ErrorChannel::{}, doc: {:?} }},",
                service.name(),
                method.name(),
                format!("/{PACKAGE}.{}/{}", service.name(), method.name()),
                row.group,
                method.input_type().trim_start_matches('.'),
                method.output_type().trim_start_matches('.'),
                method.client_streaming(),
                method.server_streaming(),
                row.channel,
                doc,
            )?;
            if !method.client_streaming() && !method.server_streaming() {
                writeln!(
                    expansion,
                    "{{ {index} {:?} {} {} {} {} {} }}",
                    doc,
                    method.name(),
                    method.name().to_snake_case(),
                    type_name(method.input_type()),
                    type_name(method.output_type()),
                    row.channel,
                )?;
            }
            index += 1;
        }
        let name = format!("{}_rpcs", service.name().to_snake_case());
        writeln!(
            macros,
            "/// Hands every unary RPC of `{}` to the macro `$callback`, as rows\n\
             /// `{{ index \"doc\" RpcName rpc_name RequestType ResponseType ErrorChannel }}`, in the order of\n\
             /// [`METHODS`].\n\
             #[macro_export]\nmacro_rules! {name} {{ ($callback:ident) => {{ $callback! {{\n{expansion}}} }} }}",
            service.name(),
        )?;
    }
    if let Some((service, rpc)) = rows.into_keys().next() {
        return Err(format!("{METHODS}: {service}/{rpc} is in no .proto file").into());
    }
    let messages: String = message_names(set)
        .iter()
        .map(|name| {
            format!(
                "MessageType {{ full_name: {name:?}, reencode: reencode::<v1::{}> }},\n",
                type_name(name)
            )
        })
        .collect();
    Ok(format!(
        "/// Every RPC of both services: `PluginAPI` first, each in the order of its .proto file.\n\
         pub static METHODS: &[Method] = &[\n{methods}];\n\
         /// Every message of the contract, sorted by name.\n\
         pub static MESSAGES: &[MessageType] = &[\n{messages}];\n{macros}"
    ))
}

/// The Rust name that prost gives to a top-level message.
fn type_name(full_name: &str) -> String {
    let short = full_name.rsplit('.').next().unwrap_or(full_name);
    short.to_upper_camel_case()
}

fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let mut comments = locations
        .filter(|location| location.path == path)
        .map(|location| location.leading_comments().trim().to_owned());
    comments.next().unwrap_or_default()
}

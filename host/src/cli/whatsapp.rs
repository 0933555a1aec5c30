//! `relais whatsapp profile`: what customers see of a business number, read and changed at Meta with the host's own account.
//! No host has to run.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    channel::{
        MetaSettings, http_client,
        meta::profile::{self, Profile},
    },
    config::Config,
    terminal::{Failure, say},
};

#[derive(Subcommand)]
pub(super) enum WhatsappCommand {
    /// What customers see of the number beside its name: about, address, description, e-mail, websites, line of business
    #[command(after_help = "Examples:\n  relais whatsapp profile get --config relais.toml\n  \
                      relais whatsapp profile set --config relais.toml --about 'Open until 8 pm' --website https://bakery.example")]
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
}

#[derive(Subcommand)]
pub(super) enum ProfileCommand {
    /// Print the profile as it is
    #[command(
        after_help = "Exit codes: 0 it is printed, 1 the configuration is off, 3 Meta cannot be reached, 4 Meta refuses."
    )]
    Get {
        #[command(flatten)]
        account: Account,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what is named, and leave the rest as it is
    #[command(
        after_help = "An empty text takes a field away: --about ''. The picture is changed in Meta's own manager, and the name, which Meta\n\
                      has to approve, as well.\n\
                      Exit codes: 0 it is changed, 1 nothing was named or the configuration is off, 3 Meta cannot be reached, 4 Meta refuses."
    )]
    Set {
        #[command(flatten)]
        account: Account,
        /// The line below the name
        #[arg(long)]
        about: Option<String>,
        /// Where the shop is
        #[arg(long)]
        address: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[arg(long)]
        email: Option<String>,
        /// The line of business, by Meta's word: RETAIL, RESTAURANT, HEALTH, TRAVEL, …
        #[arg(long, value_name = "WORD")]
        vertical: Option<String>,
        /// An address on the web; given again for a second one. They replace those there are
        #[arg(long = "website", value_name = "URL")]
        websites: Vec<String>,
    },
}

/// Which number.
#[derive(Args)]
pub(super) struct Account {
    /// The host's configuration, which names the account and where its token is
    #[arg(long, short, env = "RELAIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which of accounts.meta; may be left out where there is one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

impl Account {
    fn find(&self) -> Result<(MetaSettings, reqwest::Client), Failure> {
        let config = Config::load(self.config.as_deref()).map_err(anyhow::Error::from)?;
        let client = http_client(&config.http).map_err(anyhow::Error::from)?;
        let all = config.accounts.meta;
        let names: Vec<String> = all.iter().map(|account| account.account.clone()).collect();
        let mut fit = all.into_iter().filter(|of| self.account.as_ref().is_none_or(|name| of.account == *name));
        match (fit.next(), fit.next(), &self.account) {
            (Some(one), None, _) => Ok((one, client)),
            (Some(_), Some(_), _) => {
                Err(anyhow!("there are several accounts; name one with --account: {}", names.join(", ")).into())
            }
            (None, _, Some(name)) => {
                Err(anyhow!("there is no account `{name}` under accounts.meta; there are: {}", names.join(", ")).into())
            }
            (None, _, None) => {
                Err(anyhow!("no account is configured under accounts.meta; name the configuration with --config")
                    .into())
            }
        }
    }
}

impl WhatsappCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let WhatsappCommand::Profile { command } = self;
        match command {
            ProfileCommand::Get { account, json } => {
                let (settings, client) = account.find()?;
                let profile = profile::read(&settings, &client).await.map_err(failure)?;
                if json {
                    say(format_args!("{:#}", json!(profile)))
                } else {
                    show(&profile)
                }
                Ok(())
            }
            ProfileCommand::Set { account, about, address, description, email, vertical, websites } => {
                let websites = (!websites.is_empty()).then_some(websites);
                let profile =
                    Profile { about, address, description, email, vertical, websites, profile_picture_url: None };
                if profile == Profile::default() {
                    return Err(anyhow!("nothing is named that is to be changed; try --about 'Open until 8 pm'").into());
                }
                let (settings, client) = account.find()?;
                profile::write(&settings, &client, &profile).await.map_err(failure)?;
                say("the profile is changed; customers may see the old one for a while");
                Ok(())
            }
        }
    }
}

fn show(profile: &Profile) {
    let websites = profile.websites.as_ref().map(|all| all.join(", "));
    let lines = [
        ("about", &profile.about),
        ("address", &profile.address),
        ("description", &profile.description),
        ("email", &profile.email),
        ("vertical", &profile.vertical),
        ("websites", &websites),
        ("picture", &profile.profile_picture_url),
    ];
    for (name, value) in lines {
        say(format_args!("{name:<12} {}", value.as_deref().filter(|value| !value.is_empty()).unwrap_or("-")));
    }
}

fn failure(error: profile::Error) -> Failure {
    match error {
        profile::Error::Unreachable { .. } => Failure::Unreachable(error.to_string()),
        profile::Error::Refused { .. } => Failure::Refused(error.to_string()),
        profile::Error::Unreadable { .. } | profile::Error::Token { .. } => Failure::Failed(error.into()),
    }
}

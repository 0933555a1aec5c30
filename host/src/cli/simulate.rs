//! `relais simulate`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::{
    clock::SystemClock,
    process::asked_to_stop,
    simulator::{Options, Phone, Simulator},
    terminal::say,
};

/// What the simulated providers are started with.
#[derive(Args)]
#[command(
    after_help = "Example:\n  relais simulate --phone +33639981201 --phone +33639981202\n\nPoint a host's accounts at it: base-url = \"http://127.0.0.1:8090\", with the credentials that it prints.\n\
                        Its own door is /sim: GET / lists what it can do. Phones that are written to and not known are made up."
)]
pub(super) struct Simulate {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where webhooks go: the host's base URL with /v1/webhooks
    #[arg(long, default_value = "http://127.0.0.1:8080/v1/webhooks", value_name = "URL")]
    webhooks: String,
    /// Where the SMSC listens for SMPP; without it there is none
    #[arg(long, value_name = "ADDRESS")]
    smpp: Option<SocketAddr>,
    /// Phones to begin with, in E.164; repeat for more. All have WhatsApp; PATCH /sim/phones/{number} changes that
    #[arg(long = "phone", value_name = "NUMBER")]
    phones: Vec<String>,
}

impl Simulate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let listener =
            TcpListener::bind(self.listen).await.with_context(|| format!("cannot listen on {}", self.listen))?;
        let mut options = Options {
            clock: Arc::new(SystemClock::new()),
            webhook_base: Some(self.webhooks.clone()),
            ..Options::default()
        };
        options.phones = self.phones.iter().map(|number| Phone::new(number.clone(), number.clone())).collect();
        let address = listener.local_addr()?;
        say(format_args!("simulated providers on http://{address}/, webhooks to {}", self.webhooks));
        say(accounts(&options, &format!("http://{address}")));
        let smpp = options.smpp.clone();
        let simulator = Simulator::new(options)?;
        if let Some(address) = self.smpp {
            let listener =
                TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for SMPP"))?;
            let address = listener.local_addr()?;
            say(format_args!(
                "an SMSC on {address}:\n\n[[accounts.smpp]]\naddress = \"{address}\"\nsender = \"+{}\"\nsystem-id = \"{}\"\n\
                 password = {{ env = \"SMPP_PASSWORD\" }}\n\nexport SMPP_PASSWORD={}\n",
                smpp.number, smpp.system_id, smpp.password,
            ));
            tokio::spawn(simulator.clone().serve_smpp(listener, std::future::pending()));
        }
        simulator.serve(listener, asked_to_stop()).await
    }
}

/// The accounts as a host's configuration has them, with the credentials in the environment.
fn accounts(options: &Options, base: &str) -> String {
    format!(
        "For the host's configuration:\n\n\
         [[accounts.meta]]\nbase-url = \"{base}\"\nphone-number-id = \"{}\"\nwaba-id = \"{}\"\n\
         access-token = {{ env = \"META_ACCESS_TOKEN\" }}\napp-secrets = [{{ env = \"META_APP_SECRET\" }}]\nverify-token = {{ env = \"META_VERIFY_TOKEN\" }}\n\n\
         [[accounts.cm]]\nbase-url = \"{base}\"\nsender = \"Relais\"\n\
         product-token = {{ env = \"CM_PRODUCT_TOKEN\" }}\nwebhook-secrets = [{{ env = \"CM_WEBHOOK_SECRET\" }}]\n\n\
         export META_ACCESS_TOKEN={} META_APP_SECRET={} META_VERIFY_TOKEN={}\nexport CM_PRODUCT_TOKEN={} CM_WEBHOOK_SECRET={}\n",
        options.meta.phone_number_id,
        options.meta.waba_id,
        options.meta.access_token,
        options.meta.app_secret,
        options.meta.verify_token,
        options.cm.product_token,
        options.cm.webhook_secret,
    )
}

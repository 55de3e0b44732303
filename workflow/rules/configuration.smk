"""The checked configuration and data set: whatever is wrong with them is reported before any job."""

import os
import signal

import yaml
from snakemake.settings.types import ExecMode

from psa_core.datasets.contents import Digests
from psa_core.datasets.inventory import Inventory
from psa_core.errors import one_message
from psa_core.runtime.config import check_data, complete
from psa_core.runtime.keys import check_keys

# A preset given by --configfile stands alone; defaults come from the schema.
if not workflow.config_settings.configfiles:

    configfile: workflow.source_path("../../config/config.yaml")


with one_message(), open(workflow.source_path("../../config/schema.yaml")) as schema_file:
    for configfile in workflow.configfiles:
        check_keys(configfile)
    # In C, where PyYAML has it: a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    config.update(complete(config, yaml.load(schema_file, Loader=loader)))

# Threads that wait for work should sleep: spinning slows the data loader on the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# SLURM may send SIGUSR1 early; only training handles it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

DIGESTS = Digests(".snakemake/contents.json")
with one_message():
    DATA = Inventory(config["dataset"], DIGESTS)
    check_data(config, DATA)
    DATA.check_files()

if config["freeze"] and (DATA.rejected or DATA.corrections):
    if workflow.exec_mode == ExecMode.DEFAULT:
        logger.warning("freeze: true: the model does not learn from decisions and corrections.")

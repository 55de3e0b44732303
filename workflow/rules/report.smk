"""What Snakemake's report shows; its texts are in workflow/report/."""


report: "../report/workflow.rst"


def picture(name, category):
    """An output: a figure, with its caption in the report."""
    return report(
        f"results/figures/{name}.png",
        caption=f"../report/{name}.rst",
        category=category,
        labels={"picture": name},
    )

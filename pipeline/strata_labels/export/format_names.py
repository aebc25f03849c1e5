"""Names of the export formats and what each is for, without importing the exporters."""

#: What opens each format, in a few words.
FORMAT_NAMES = {
    "croissant": "Croissant readers, such as mlcroissant",
    "gldv2": "readers of the released GLDv2-H; trees of four levels",
    "huggingface": "datasets.load_dataset",
    "imagefolder": "torchvision's ImageFolder: images by split and class",
    "inat2018": "loaders of iNaturalist 2018; trees of two or seven levels",
    "json": "web pages and D3: the tree as one nested document",
    "landmarks": "pandas and spreadsheets",
    "newick": "tree viewers",
    "oml": "open-metric-learning",
    "skos": "thesaurus tools and triple stores",
    "sop": "loaders of Stanford Online Products; trees of two levels",
    "suprank": "SupRank's loader of GLDv2; trees of four levels",
}

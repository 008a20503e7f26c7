"""What splits and image files are called, and what to type where no source is found."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
KNOWN_SPLITS = {name for names in SPLIT_NAMES.values() for name in names}
ADVICE = (
    "Name local data with data.source=PATH (images in one folder per class, parquet files, or a CSV file of image paths), "
    "or run the recipe quickstart, whose data is installed"
)

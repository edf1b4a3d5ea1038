mod bins;
mod chart;
mod curve;
mod format;
mod scale;

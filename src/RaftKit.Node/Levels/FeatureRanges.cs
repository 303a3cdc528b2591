using RaftKit.Node.Encoding;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Levels;

/// <summary>
/// What one process supports: the library's own feature, and those that the application declares. Immutable; ordered, so that it is the
/// same bytes everywhere.
/// </summary>
internal sealed class FeatureRanges : IEquatable<FeatureRanges>
{
    /// <summary>The library's own feature. A version that writes what an older one cannot read writes it only from a level on.</summary>
    public const string Library = "raftkit";

    /// <summary>A hello has no room for more.</summary>
    public const int Most = 16;

    public const int LongestName = 64;

    public const int GreatestLevel = 1_000_000;

    private static readonly FeatureRange LibraryRange = new(1, 1);

    /// <summary>A process whose application declares nothing.</summary>
    public static readonly FeatureRanges Own = new([]);

    private readonly SortedDictionary<string, FeatureRange> _ranges = new(StringComparer.Ordinal);

    /// <param name="declared">The application's, or a peer's.</param>
    public FeatureRanges(IEnumerable<KeyValuePair<string, FeatureRange>> declared)
    {
        _ranges[Library] = LibraryRange;
        foreach (var (feature, range) in declared)
            _ranges[feature] = range;
    }

    public IReadOnlyDictionary<string, FeatureRange> All => _ranges;

    /// <summary>Who does not know a feature is as before it: at the first level.</summary>
    public FeatureRange Of(string feature) => _ranges.TryGetValue(feature, out var range) ? range : FeatureRange.FirstOnly;

    /// <summary>What is wrong with a name; null if nothing is.</summary>
    public static string? CheckName(string feature) =>
        feature.Length is > 0 and <= LongestName && feature.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') ? null
            : $"'{feature}' is no name for a feature. Use 1 to {LongestName} letters, digits, '-', '_' and '.'.";

    public void WriteTo(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(_ranges.Count);
        foreach (var (feature, range) in _ranges)
        {
            writer.WriteArrayHeader(3);
            writer.Write(feature);
            writer.Write(range.Min);
            writer.Write(range.Max);
        }
    }

    /// <exception cref="MalformedFrameException">A peer sent what cannot be.</exception>
    public static FeatureRanges ReadFromPeer(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        if (count > Most)
            throw new MalformedFrameException($"A hello tells of {count} features; it is never more than {Most}.");
        var ranges = new KeyValuePair<string, FeatureRange>[count];
        for (var i = 0; i < count; i++)
        {
            reader.ReadArrayHeader(3);
            var feature = reader.ReadRequiredString();
            var range = new FeatureRange(reader.ReadInt32(), reader.ReadInt32());
            // Not what it said: a stranger's text would go to our log as it is.
            if (CheckName(feature) is not null)
                throw new MalformedFrameException($"A hello names a feature in {feature.Length} characters that make no name.");
            if (range.Min < 1 || range.Max < range.Min || range.Max > GreatestLevel)
                throw new MalformedFrameException($"Levels {range} of feature {feature} cannot be: they are from 1 to {GreatestLevel}.");
            ranges[i] = new(feature, range);
        }
        return new FeatureRanges(ranges);
    }

    public bool Equals(FeatureRanges? other) => other is not null && _ranges.SequenceEqual(other._ranges);

    public override bool Equals(object? obj) => Equals(obj as FeatureRanges);

    public override int GetHashCode() => _ranges.Aggregate(0, static (hash, r) => HashCode.Combine(hash, r.Key, r.Value));

    public override string ToString() => string.Join(", ", _ranges.Select(r => $"{r.Key} {r.Value}"));
}

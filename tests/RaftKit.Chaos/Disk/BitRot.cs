using RaftKit.Node.Log;

namespace RaftKit.Chaos.Disk;

/// <summary>A bit that flipped.</summary>
/// <param name="What">Which, in words.</param>
/// <param name="IsNeeded">The member has lost entries or a snapshot by it that it must get again.</param>
internal sealed record BitRot(string What, bool IsNeeded)
{
    private const int Page = 4096;
    private const int Tries = 24;

    /// <summary>
    /// Flips one bit of a closed segment or of a snapshot, where it matters if chance allows. What a member cannot live with, as where its
    /// vote or the end of its log is lost, is another fault: that directory is to be emptied.
    /// </summary>
    /// <returns>Null if every bit that was tried was one of those, or of no consequence at all.</returns>
    public static async Task<BitRot?> StrikeAsync(string directory, Random random)
    {
        var segments = Directory.GetFiles(directory, "*.log").Order(StringComparer.Ordinal).SkipLast(1);
        string[] files = [.. segments, .. Directory.GetFiles(directory, "*.snapshot")];
        for (var tried = 0; files.Length > 0 && tried < Tries; tried++)
        {
            var file = files[random.Next(files.Length)];
            if (Written(file, random) is not { } offset)
                continue;
            var bit = random.Next(8);
            Flip(file, offset, bit);
            var report = await LogVerifier.VerifyAsync(directory);
            if (report.CanStart && !report.IsSound && (report.RottenEnd is not null || tried > Tries / 2))
                return new($"bit {bit} of byte {offset} of {Path.GetFileName(file)} flipped", report.RottenEnd is not null);
            Flip(file, offset, bit);
        }

        return null;
    }

    // Pages of zeros were never written: flipped bits in them are nothing that was lost.
    private static long? Written(string file, Random random)
    {
        using var stream = File.OpenRead(file);
        if (stream.Length == 0)
            return null;
        var offset = random.NextInt64(stream.Length);
        stream.Position = offset / Page * Page;
        return stream.ReadByte() > 0 ? offset : null;
    }

    private static void Flip(string file, long offset, int bit)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        stream.Position = offset;
        var value = stream.ReadByte();
        stream.Position = offset;
        stream.WriteByte((byte)(value ^ (1 << bit)));
    }
}

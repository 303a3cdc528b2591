using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Keeps the directory's identity: who it belongs to, and how often it was started. Written aside, fsynced, renamed, and the directory
/// fsynced, so that it is always one whole version or another.
/// </summary>
internal static class IdentityFile
{
    public const string Name = "identity";
    public const string AsideName = "identity.tmp";
    private const int FormatVersion = 1;
    private const int MostBytes = 1 << 16;

    /// <summary>The identity; null in a directory that has none.</summary>
    /// <exception cref="LogCorruptException">It cannot be read.</exception>
    public static DirectoryIdentity? Read(ILogDirectory directory)
    {
        if (!directory.Exists(Name))
            return null;
        using var file = directory.Open(Name);
        try
        {
            if (file.Length > MostBytes)
                throw new MessagePackSerializationException($"it has {file.Length} bytes");
            var bytes = new byte[file.Length];
            var read = file.Read(0, bytes);
            var reader = new MessagePackReader(bytes.AsMemory(0, read));
            reader.ReadArrayHeader(2);
            var body = reader.ReadBytesMemory();
            if (Crc32C.Of(body.Span) != reader.ReadUInt32() || !reader.End)
                throw new MessagePackSerializationException("checksum mismatch");
            return Decode(new MessagePackReader(body));
        }
        catch (MessagePackSerializationException wrong)
        {
            throw new LogCorruptException(
                $"The identity in {directory.Location} cannot be read: {wrong.Message}. Nothing was changed. Without it nobody can tell whose votes "
                + "this log holds: empty the directory and let the member join anew.");
        }
        catch (UnknownFormatException unknown)
        {
            throw unknown.In(directory.Location, Name);
        }
    }

    /// <summary>Makes this the identity, durably.</summary>
    public static void Write(ILogDirectory directory, DirectoryIdentity identity)
    {
        var body = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(body);
        // The last field only where it says something, so that nothing changes where leases were never on.
        var hasPromised = identity.LongestPromise > TimeSpan.Zero;
        writer.WriteArrayHeader(hasPromised ? 9 : 8);
        writer.Write(FormatVersion);
        writer.Write(identity.Member.Value);
        writer.Write(identity.Incarnation);
        writer.Write(identity.Boot);
        writer.Write(identity.ClusterId.ToByteArray(bigEndian: true));
        writer.WriteArrayHeader(identity.Founders.Count);
        foreach (var founder in identity.Founders)
            writer.Write(founder.Value);
        identity.RunEnds.WriteTo(ref writer);
        writer.Write(identity.RolledBack);
        if (hasPromised)
            writer.Write(identity.LongestPromise.Ticks);
        writer.Flush();

        var record = new ArrayBufferWriter<byte>();
        writer = new MessagePackWriter(record);
        writer.WriteArrayHeader(2);
        writer.Write(body.WrittenSpan);
        writer.Write(Crc32C.Of(body.WrittenSpan));
        writer.Flush();

        if (directory.Exists(AsideName))
            directory.Delete(AsideName);
        using (var file = directory.Create(AsideName, 0))
        {
            file.Write(0, record.WrittenSpan);
            file.Sync();
        }
        directory.Rename(AsideName, Name);
        directory.Sync();
    }

    /// <summary>Reads the identity, and checks that the member may start here. Changes nothing.</summary>
    /// <param name="directory">The directory, locked.</param>
    /// <param name="member">Who starts here.</param>
    /// <returns>The identity; null in a directory that has none.</returns>
    /// <exception cref="DirectoryMismatchException">The directory is another member's.</exception>
    /// <exception cref="DirectoryRolledBackException">It is an old copy of itself, as others have found before.</exception>
    public static DirectoryIdentity? Open(ILogDirectory directory, MemberId member)
    {
        if (Read(directory) is not { } found)
            return null;
        if (found.Member != member)
        {
            throw new DirectoryMismatchException(
                $"{directory.Location} belongs to member {found.Member}, but member {member} was to start in it. "
                + $"Start member {found.Member}, or give member {member} its own directory.");
        }
        if (found.RolledBack.Length > 0)
            throw new DirectoryRolledBackException($"{directory.Location} was found to be an old copy: {found.RolledBack}");
        return found;
    }

    /// <summary>
    /// Counts a start, durably, before anything else in the directory is changed, and notes where the run before it left the log: others
    /// tell an older copy of this disk by its older number, or by what that run had told them.
    /// </summary>
    public static DirectoryIdentity CountStart(
        ILogDirectory directory, DirectoryIdentity found, long lastBatch, TimeSpan promise = default, long leastBoot = 0)
    {
        var started = found with
        {
            Boot = Math.Max(found.Boot + 1, leastBoot),
            RunEnds = found.RunEnds.With(new RunEnd(found.Boot, lastBatch)),
            LongestPromise = promise > found.LongestPromise ? promise : found.LongestPromise,
        };
        Write(directory, started);
        return started;
    }

    private static DirectoryIdentity Decode(MessagePackReader reader)
    {
        var fields = reader.ReadArrayHeader();
        var version = reader.ReadInt32();
        if (version != FormatVersion)
            throw new UnknownFormatException("identity format", version, FormatVersion);
        if (fields is not (8 or 9))
            throw new MessagePackSerializationException($"an identity of {fields} fields, where this version knows 8 or 9");
        var member = new MemberId(reader.ReadInt32());
        var incarnation = reader.ReadInt32();
        var boot = reader.ReadInt64();
        var cluster = reader.ReadBytesMemory();
        if (cluster.Length != 16)
            throw new MessagePackSerializationException($"a cluster id of {cluster.Length} bytes");
        var founders = new MemberId[reader.ReadArrayHeader()];
        for (var i = 0; i < founders.Length; i++)
            founders[i] = new MemberId(reader.ReadInt32());
        return new DirectoryIdentity(member, incarnation, boot, new Guid(cluster.Span, bigEndian: true), founders)
        {
            RunEnds = RunEnds.Read(ref reader), RolledBack = reader.ReadRequiredString(),
            LongestPromise = fields > 8 ? new TimeSpan(reader.ReadInt64()) : default,
        };
    }
}

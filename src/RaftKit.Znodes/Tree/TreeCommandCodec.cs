using RaftKit.Node.Encoding;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// Commands and results as MessagePack. They are in the log for good: a kind never changes its number or its fields; what is new gets a new
/// kind. A command of an unknown kind, or with other fields, is refused as a whole: half understood, it would make members diverge.
/// </summary>
internal static class TreeCommandCodec
{
    private const int CreateKind = 1;
    private const int SetKind = 2;
    private const int DeleteKind = 3;
    private const int CheckKind = 4;
    private const int MultiKind = 5;

    private const int StatFields = 11;

    public static void Write(ref MessagePackWriter writer, TreeCommand command)
    {
        switch (command)
        {
            case TreeCommand.Create create:
                writer.WriteArrayHeader(4);
                writer.Write(CreateKind);
                writer.Write(create.Path);
                WriteData(ref writer, create.Data);
                writer.Write((int)create.Mode);
                break;
            case TreeCommand.Set set:
                writer.WriteArrayHeader(4);
                writer.Write(SetKind);
                writer.Write(set.Path);
                WriteData(ref writer, set.Data);
                writer.Write(set.ExpectedVersion);
                break;
            case TreeCommand.Delete delete:
                WriteConditional(ref writer, DeleteKind, delete.Path, delete.ExpectedVersion);
                break;
            case TreeCommand.Check check:
                WriteConditional(ref writer, CheckKind, check.Path, check.ExpectedVersion);
                break;
            case TreeCommand.Multi multi:
                writer.WriteArrayHeader(2);
                writer.Write(MultiKind);
                writer.WriteArrayHeader(multi.Operations.Count);
                foreach (var operation in multi.Operations)
                    Write(ref writer, operation);
                break;
            default:
                throw new ArgumentException($"{command.GetType().Name} has no encoding.", nameof(command));
        }
    }

    /// <summary>Reads a command; data is a slice of what is read, not a copy.</summary>
    /// <exception cref="MessagePackSerializationException">The bytes are no command.</exception>
    public static TreeCommand Read(ref MessagePackReader reader) => Read(ref reader, inMulti: false);

    public static void Write(ref MessagePackWriter writer, in TreeResult result)
    {
        if (result.Operations is not { } operations)
        {
            Write(ref writer, result.Single);
            return;
        }
        // An array of arrays; a single result begins with its error.
        writer.WriteArrayHeader(operations.Count);
        foreach (var operation in operations)
            Write(ref writer, operation);
    }

    /// <summary>Reads a result.</summary>
    /// <param name="reader">Stands before it.</param>
    /// <param name="multi">Whether the command was a multi.</param>
    /// <exception cref="MessagePackSerializationException">The bytes are no such result.</exception>
    public static TreeResult ReadResult(ref MessagePackReader reader, bool multi)
    {
        if (!multi)
            return new TreeResult(ReadOne(ref reader));
        var results = new ZnodeOperationResult[reader.ReadArrayHeader()];
        for (var i = 0; i < results.Length; i++)
            results[i] = ReadOne(ref reader);
        return new TreeResult(results);
    }

    private static TreeCommand Read(ref MessagePackReader reader, bool inMulti)
    {
        var fields = reader.ReadArrayHeader();
        var kind = reader.ReadInt32();
        var expected = kind switch
        {
            CreateKind or SetKind => 4,
            DeleteKind or CheckKind => 3,
            MultiKind when !inMulti => 2,
            _ => throw new MessagePackSerializationException($"A tree command has the kind {kind}, which has no meaning here."),
        };
        if (fields != expected)
            throw new MessagePackSerializationException($"A tree command of kind {kind} has {fields} fields; it must have {expected}.");

        switch (kind)
        {
            case CreateKind: return new TreeCommand.Create(
                reader.ReadRequiredString(), ReadData(ref reader), (CreateMode)reader.ReadInt32());
            case SetKind: return new TreeCommand.Set(reader.ReadRequiredString(), ReadData(ref reader), reader.ReadInt32());
            case DeleteKind: return new TreeCommand.Delete(reader.ReadRequiredString(), reader.ReadInt32());
            case CheckKind: return new TreeCommand.Check(reader.ReadRequiredString(), reader.ReadInt32());
        }

        var operations = new TreeCommand[reader.ReadArrayHeader()];
        for (var i = 0; i < operations.Length; i++)
            operations[i] = Read(ref reader, inMulti: true);
        return new TreeCommand.Multi(operations);
    }

    private static void WriteConditional(ref MessagePackWriter writer, int kind, string path, int version)
    {
        writer.WriteArrayHeader(3);
        writer.Write(kind);
        writer.Write(path);
        writer.Write(version);
    }

    private static void WriteData(ref MessagePackWriter writer, ReadOnlyMemory<byte> data)
    {
        if (data.Equals(default))
            writer.WriteNil();
        else
            writer.Write(data.Span);
    }

    // Empty data of any kind of memory must stay apart from null, which is the default memory.
    private static ReadOnlyMemory<byte> ReadData(ref MessagePackReader reader)
    {
        if (reader.TryReadNil())
            return default;
        var data = reader.ReadBytesMemory();
        return data.IsEmpty ? Array.Empty<byte>() : data;
    }

    private static void Write(ref MessagePackWriter writer, in ZnodeOperationResult result)
    {
        var stat = result.Stat;
        var hasStat = stat != default;
        writer.WriteArrayHeader(hasStat ? 2 + StatFields : 2);
        writer.Write((int)result.Error);
        writer.Write(result.Path);
        if (!hasStat)
            return;
        writer.Write(stat.CreatedZxid);
        writer.Write(stat.ModifiedZxid);
        writer.Write(stat.CreatedTime);
        writer.Write(stat.ModifiedTime);
        writer.Write(stat.Version);
        writer.Write(stat.ChildrenVersion);
        writer.Write(stat.AclVersion);
        writer.Write(stat.EphemeralOwner);
        writer.Write(stat.DataLength);
        writer.Write(stat.ChildCount);
        writer.Write(stat.ChildrenZxid);
    }

    private static ZnodeOperationResult ReadOne(ref MessagePackReader reader)
    {
        var fields = reader.ReadArrayHeader();
        if (fields is not (2 or 2 + StatFields))
            throw new MessagePackSerializationException($"A result has {fields} fields; it must have 2, or {2 + StatFields} with a Stat.");
        var error = (ZnodeError)reader.ReadInt32();
        var path = reader.ReadRequiredString();
        var stat = fields == 2
            ? default
            : new ZnodeStat(
                reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt32(), reader.ReadInt32(),
                reader.ReadInt32(), reader.ReadInt64(), reader.ReadInt32(), reader.ReadInt32(), reader.ReadInt64());
        return new ZnodeOperationResult(error, path, stat);
    }
}
